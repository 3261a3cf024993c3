//! A thread's work without a server that answers: what its clock makes of a logon.

use std::net::TcpListener;

use super::*;
use crate::cli::tests::parsed;

fn with_worker(test: impl FnOnce(&mut Worker<'_>)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let (_, wanted) = parsed(&format!("idle --users 1 --timeout 1 --server {server}")).unwrap();
    let board = Board::new(1, 0).unwrap();
    test(&mut Worker::new(&wanted.orders, &board, 0).unwrap());
}

#[test]
fn who_was_put_off_is_one_who_logs_on() {
    with_worker(|worker| {
        let now_us = now_us();
        worker.attempt(0, 1, now_us);
        worker.on_put_off(0, Task::Register { refresh: false }, 1, 1, now_us);
        assert_eq!(worker.logging_on, 0);
        worker.log_on_anew(0, 2);
        let faults: Vec<_> = worker.sight.faults.iter().collect();
        assert!(faults[0].0.starts_with("logon meant while"), "{faults:?}");
        assert_eq!((faults.len(), worker.logging_on), (1, 0));
        // Up to a quarter later.
        worker.work(now_us + 1_250_000);
        assert_eq!((worker.put_off.len(), worker.logging_on), (0, 1));
    });
}

#[test]
fn who_was_put_off_has_as_much_time_for_the_next_attempt() {
    with_worker(|worker| {
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
    });
}
