//! A thread's work without a server that answers: what its clock makes of a logon.

use std::net::TcpListener;

use super::*;
use crate::cli::tests::parsed;

#[test]
fn who_was_put_off_has_as_much_time_for_the_next_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let (_, wanted) = parsed(&format!("idle --users 1 --timeout 1 --server {server}")).unwrap();
    let board = Board::new(1, 0).unwrap();
    let mut worker = Worker::new(&wanted.orders, &board, 0).unwrap();
    let begun_us = now_us();
    let planned_us = begun_us.saturating_sub(10_000_000).max(1);
    worker.put_off.push(Reverse(Again {
        due_us: begun_us,
        slot: 0,
        intended_us: planned_us,
        follow: false,
    }));
    worker.work(begun_us);
    worker.sweep_one(0, begun_us + 1_900_000);
    assert!(worker.sight.faults.is_empty(), "{:?}", worker.sight.faults);
    // The latency counts from the plan.
    assert_eq!(
        (worker.seats[0].logon_us, worker.logging_on),
        (planned_us, 1)
    );
    worker.sweep_one(0, now_us() + 2_000_001);
    let faults: Vec<_> = worker.sight.faults.iter().collect();
    assert_eq!(faults, [("logon took too long", 1)]);
}
