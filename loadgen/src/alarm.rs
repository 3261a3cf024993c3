//! What wakes a thread that waits in its epoll set at a microsecond: epoll's own timeout is in milliseconds.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::clock::timespec;

/// A timer in a thread's epoll set.
pub struct Alarm {
    timer: OwnedFd,
    /// What it is set to.
    due_us: u64,
}

impl Alarm {
    /// An alarm that is not set, in `epoll` under `token`.
    pub fn new(epoll: &OwnedFd, token: u64) -> io::Result<Alarm> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        // Edge-triggered: the timer need not be read, setting it arms the next edge.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(
            epoll,
            timer.as_fd(),
            epoll::EventData::new_u64(token),
            flags,
        )?;
        Ok(Alarm { timer, due_us: 0 })
    }

    /// Sets it to an instant of `clock::now_us`, instead of what it was set to.
    pub fn set(&mut self, due_us: u64) -> io::Result<()> {
        if due_us != self.due_us {
            self.due_us = due_us;
            let setting = Itimerspec {
                it_interval: Timespec::default(),
                it_value: timespec(due_us),
            };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting)?;
        }
        Ok(())
    }
}
