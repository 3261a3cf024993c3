//! How much is shed, and in which order.

use super::*;

const TARGET: Duration = Duration::from_millis(5);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// After so many measurements of this.
fn after(overload: &mut Overload, least: Duration, times: usize) -> u8 {
    for _ in 0..times {
        overload.waited(least);
    }
    overload.level()
}

#[test]
fn a_queue_that_stands_raises_the_level_and_one_that_is_gone_lowers_it_slowly() {
    let mut overload = Overload::new(TARGET);
    assert_eq!(after(&mut overload, ms(4), 100), 0, "below the target");
    assert_eq!(after(&mut overload, ms(5), 1), 1);
    assert_eq!(after(&mut overload, ms(30), 2), 3);
    assert_eq!(after(&mut overload, ms(200), 3), 4);
    assert_eq!(after(&mut overload, ms(13), 1000), 4, "in between it holds");
    assert_eq!(after(&mut overload, ms(0), 15), 4);
    assert_eq!(after(&mut overload, ms(0), 1), 3);
    assert_eq!(after(&mut overload, ms(0), 48), 0);
    assert!(!overload.is_on());
}

#[test]
fn a_wait_that_is_short_sheds_polls_alone_for_however_long() {
    let mut overload = Overload::new(TARGET);
    assert_eq!(after(&mut overload, ms(9), 1000), 1);
    assert_eq!(after(&mut overload, ms(24), 1000), 2);
    assert_eq!(after(&mut overload, ms(25), 1000), 4);
    assert_eq!(
        after(&mut overload, ms(9), 1000),
        2,
        "between half and all of what presence waits"
    );
}

#[test]
fn without_a_target_nothing_is_shed() {
    let mut overload = Overload::new(Duration::ZERO);
    assert_eq!(after(&mut overload, ms(10_000), 100), 0);
}

#[test]
fn a_class_is_shed_whole_before_any_of_the_next() {
    let mut overload = Overload::new(TARGET);
    let (mut before, mut most) = (0, 0);
    for step in 0..75 {
        let shed: Vec<usize> = Class::ALL
            .iter()
            .map(|class| (0..16).filter(|dice| overload.sheds(*class, *dice)).count())
            .collect();
        for pair in shed.windows(2) {
            assert!(pair[1] == 0 || pair[0] == 16, "{shed:?}");
        }
        let all: usize = shed.iter().sum();
        assert_eq!(all >= before, step <= 10, "it rises, and then it falls");
        (before, most) = (all, most.max(all));
        overload.waited(ms(if step < 10 { 25 } else { 0 }));
    }
    assert_eq!((most, before), (64, 0));
}

#[test]
fn who_is_sent_away_comes_back_at_different_times() {
    let mut overload = Overload::new(TARGET);
    for (level, least, most) in [(1, 5, 15), (2, 10, 30), (4, 20, 60)] {
        while overload.level() < level {
            overload.waited(ms(25));
        }
        let times: Vec<u32> = (0..1000).map(|dice| overload.retry_after_s(dice)).collect();
        let (min, max) = (times.iter().min(), times.iter().max());
        assert_eq!((min, max), (Some(&least), Some(&most)));
    }
}
