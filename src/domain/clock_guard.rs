//! A clock that is compared with one that cannot be set, so that a jump of the first is noticed.
//!
//! The wall clock can be set: by hand, by NTP, or when a machine wakes up. The steady clock counts
//! since the machine started and cannot be set. When the two drift apart, the wall clock is in
//! doubt: nothing is deleted by it, and it does not go back, until it agrees again or an operator
//! confirms it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::clock::{Clock, Timestamp};

/// How far the two clocks may differ since they were last compared: NTP corrects clocks in small steps.
pub const TOLERANCE: Duration = Duration::from_secs(60);
/// A clock in doubt that runs on evenly for this long is confirmed. Long enough for people to
/// notice.
pub const SETTLES_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The longest time between two runs of the server that is taken for a pause. After a longer one the clock is in doubt.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where the steady time comes from: the system, or a test that moves it by hand.
#[derive(Clone, Debug)]
pub enum Steady {
    /// The time since the machine started, with sleep counted where the system tells it.
    System(Instant),
    /// Microseconds that a test sets.
    Fixed(Arc<AtomicI64>),
}

impl Steady {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self::System(Instant::now())
    }

    /// Microseconds since some instant. Reading it costs little; sleep of the machine is left out.
    fn now(&self) -> i64 {
        match self {
            Self::System(start) => micros(start.elapsed()),
            Self::Fixed(micros) => micros.load(Ordering::SeqCst),
        }
    }

    /// Microseconds for which the machine has been up, sleep included; `None` where the system does not tell.
    fn uptime(&self) -> Option<i64> {
        match self {
            Self::System(_) => {
                let text = std::fs::read_to_string("/proc/uptime").ok()?;
                let seconds: f64 = text.split(' ').next()?.parse().ok()?;
                Duration::try_from_secs_f64(seconds).ok().map(micros)
            }
            Self::Fixed(_) => None,
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// By how much a wall clock that is in doubt differs from what it should say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Microseconds; positive when it is ahead.
    pub off: i64,
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.off > 0 { "ahead" } else { "behind" };
        write!(f, "{} seconds {word}", self.off.unsigned_abs() / 1_000_000)
    }
}

/// The wall clock with what it is compared with.
#[derive(Debug)]
pub struct ClockGuard {
    wall: Clock,
    steady: Steady,
    state: Mutex<State>,
    was_doubted: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// When the wall clock was last believed: what it said, or what the database's clock said.
    wall: Timestamp,
    /// The steady clock at that moment.
    steady: i64,
    uptime: Option<i64>,
    /// Whether the expected time is the database's: then it is right, whichever way the wall clock
    /// went.
    is_database: bool,
    /// The doubt, and the steady time since which it has been the same.
    doubt: Option<(Doubt, i64)>,
}

impl State {
    /// What the wall clock should say.
    fn expected(&self, steady: i64) -> Timestamp {
        Timestamp(self.wall.0.saturating_add(steady.saturating_sub(self.steady)))
    }
}

impl ClockGuard {
    /// Guards `wall`, which is believed now.
    #[must_use]
    pub fn new(wall: Clock, steady: Steady) -> Self {
        let state = State { wall: wall.now(), steady: steady.now(), uptime: steady.uptime(), is_database: false, doubt: None };
        Self { wall, steady, state: Mutex::new(state), was_doubted: AtomicBool::new(false) }
    }

    /// The present instant. In doubt it is the later of the two, so that what had expired stays
    /// expired; if the database has a clock of its own, it is the database's.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let wall = self.wall.now();
        let mut state = self.lock();
        if self.judge(&mut state, wall).is_none() {
            return wall;
        }
        let expected = state.expected(self.steady.now());
        if state.is_database { expected } else { expected.max(wall) }
    }

    /// What the wall clock says, believed or not.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.wall.now()
    }

    /// By how much the wall clock is in doubt; `None` while it is believed.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        let wall = self.wall.now();
        self.judge(&mut self.lock(), wall)
    }

    /// Compares the two clocks.
    fn judge(&self, state: &mut State, wall: Timestamp) -> Option<Doubt> {
        let steady = self.steady.now();
        let tolerance = micros(TOLERANCE);
        let mut off = wall.0.saturating_sub(state.expected(steady).0);
        if off > tolerance && state.doubt.is_none() {
            // A machine that slept: its uptime tells for how long.
            if let Some((before, now)) = state.uptime.zip(self.steady.uptime()) {
                let slept = now.saturating_sub(before).saturating_sub(steady.saturating_sub(state.steady)).max(0);
                state.wall = Timestamp(state.wall.0.saturating_add(slept));
                state.uptime = Some(before.saturating_add(slept));
                off = off.saturating_sub(slept);
            }
        }
        if off.saturating_abs() <= tolerance {
            state.doubt = None;
            return None;
        }
        let doubt = Doubt { off };
        match state.doubt {
            Some((known, _)) if known.off.saturating_sub(off).saturating_abs() <= tolerance => {}
            _ => state.doubt = Some((doubt, steady)),
        }
        Some(doubt)
    }

    /// Whether the doubt has been the same for [`SETTLES_AFTER`].
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let wall = self.wall.now();
        let mut state = self.lock();
        self.judge(&mut state, wall);
        let age = |(_, since): (Doubt, i64)| self.steady.now().saturating_sub(since);
        state.doubt.is_some_and(|doubt| age(doubt) >= micros(SETTLES_AFTER))
    }

    /// Believes the wall clock as it is now.
    pub fn confirm(&self) {
        self.expect(self.wall.now(), false);
    }

    /// Follows a believed wall clock in small steps, as NTP makes them: its time becomes the
    /// expected one. Does nothing in doubt.
    pub fn follow(&self) {
        if self.doubt().is_none() {
            let is_database = self.lock().is_database;
            self.expect(self.wall.now(), is_database);
        }
    }

    /// Whether the doubt began or ended since the last call: true once for each change, to log it.
    #[must_use]
    pub fn has_turned(&self) -> bool {
        let is_doubted = self.doubt().is_some();
        self.was_doubted.swap(is_doubted, Ordering::SeqCst) != is_doubted
    }

    /// Expects what the database's clock says now; the wall clock is in doubt while it differs.
    pub fn follow_database(&self, now: Timestamp) {
        self.expect(now, true);
        // Where they agree, the wall clock is used, which every node reads by itself.
        if self.doubt().is_none() {
            self.expect(self.wall.now(), true);
        }
    }

    /// The expected time of the wall clock, in doubt or not.
    #[must_use]
    pub fn expected(&self) -> Timestamp {
        self.lock().expected(self.steady.now())
    }

    /// Compares with the last instant that an earlier run of the server expected, and whether its clock was in doubt:
    /// then a restart does not confirm it, unless the pause was long.
    pub fn resume(&self, last: Timestamp, was_doubted: bool) {
        let wall = self.wall.now();
        let longest = if was_doubted { TOLERANCE } else { LONGEST_PAUSE };
        if last.since(wall) > TOLERANCE || wall.since(last) > longest {
            self.expect(last, false);
        }
    }

    fn expect(&self, wall: Timestamp, is_database: bool) {
        let mut state = self.lock();
        let doubt = state.doubt.filter(|_| is_database);
        *state = State { wall, steady: self.steady.now(), uptime: self.steady.uptime(), is_database, doubt };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves a fixed wall clock. Does nothing to the system's.
    pub fn set(&self, at: Timestamp) {
        self.wall.set(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    struct Hands {
        guard: ClockGuard,
        steady: Arc<AtomicI64>,
    }

    impl Hands {
        fn new() -> Self {
            let steady = Arc::new(AtomicI64::new(0));
            let wall = Clock::fixed(Timestamp::parse("2026-11-01T12:00:00Z").unwrap());
            Self { guard: ClockGuard::new(wall, Steady::Fixed(Arc::clone(&steady))), steady }
        }

        /// Both clocks run on.
        fn run(&self, by: Duration) {
            self.steady.fetch_add(micros(by), Ordering::SeqCst);
            self.guard.set(self.guard.wall().plus(by));
        }

        fn set_ahead(&self, by: Duration) {
            self.guard.set(self.guard.wall().plus(by));
        }

        fn set_back(&self, by: Duration) {
            self.guard.set(self.guard.wall().minus(by));
        }
    }

    #[test]
    fn small_steps_and_time_that_passes_are_believed() {
        let it = Hands::new();
        for _ in 0..100 {
            it.run(HOUR);
            it.set_ahead(Duration::from_secs(5));
            assert_eq!(it.guard.doubt(), None);
            it.guard.follow();
        }
        assert_eq!(it.guard.now(), it.guard.wall());
    }

    #[test]
    fn a_jump_is_doubted_until_it_is_undone() {
        for (ahead, back) in [(13 * HOUR, Duration::ZERO), (Duration::ZERO, 3 * HOUR), (2400 * HOUR, Duration::ZERO)] {
            let it = Hands::new();
            it.run(HOUR);
            let before = it.guard.now();
            it.set_ahead(ahead);
            it.set_back(back);
            let doubt = it.guard.doubt().expect("a doubt");
            assert_eq!(doubt.off, micros(ahead) - micros(back));
            it.guard.follow();
            assert_eq!(it.guard.doubt(), Some(doubt), "a jump is not followed");
            assert!(it.guard.now() >= before, "what was over stays so");
            it.run(Duration::from_secs(12));
            it.set_ahead(back);
            it.set_back(ahead);
            assert_eq!(it.guard.doubt(), None);
            assert_eq!(it.guard.now(), before.plus(Duration::from_secs(12)));
        }
    }

    #[test]
    fn it_does_not_go_back_and_runs_on_in_doubt() {
        let it = Hands::new();
        let before = it.guard.now();
        it.set_back(3 * HOUR);
        assert_eq!(it.guard.now(), before);
        it.run(HOUR);
        assert_eq!(it.guard.now(), before.plus(HOUR));
        it.guard.confirm();
        assert_eq!((it.guard.doubt(), it.guard.now()), (None, it.guard.wall()));
    }

    #[test]
    fn a_day_of_running_evenly_settles_it_and_another_jump_starts_the_day_anew() {
        let it = Hands::new();
        it.set_ahead(13 * HOUR);
        assert!(!it.guard.is_settled());
        it.run(23 * HOUR);
        assert!(!it.guard.is_settled());
        it.set_ahead(HOUR);
        assert!(!it.guard.is_settled());
        it.run(23 * HOUR);
        assert!(!it.guard.is_settled());
        it.run(HOUR);
        assert!(it.guard.is_settled());
    }

    #[test]
    fn an_earlier_run_counts() {
        let it = Hands::new();
        let now = it.guard.now();
        it.guard.resume(now.minus(Duration::from_secs(6 * 86400)), false);
        assert_eq!(it.guard.doubt(), None, "a pause of six days");
        it.guard.resume(now.plus(3 * HOUR), false);
        assert_eq!(it.guard.doubt(), Some(Doubt { off: -micros(3 * HOUR) }));
        assert_eq!(it.guard.now(), now.plus(3 * HOUR), "a session that was over before the restart stays so");
        it.guard.confirm();
        it.guard.resume(now.minus(13 * HOUR), true);
        assert_eq!(it.guard.doubt(), Some(Doubt { off: micros(13 * HOUR) }), "a restart confirms nothing");
        it.guard.confirm();
        it.guard.resume(now.minus(100 * 24 * HOUR), false);
        assert_eq!(it.guard.doubt(), Some(Doubt { off: micros(2400 * HOUR) }));
        assert_eq!(it.guard.now(), now);
    }

    #[test]
    fn the_clock_of_the_database_decides() {
        let it = Hands::new();
        let right = it.guard.now();
        it.set_ahead(HOUR / 3);
        it.guard.follow_database(right);
        assert_eq!(it.guard.doubt(), Some(Doubt { off: micros(HOUR / 3) }));
        assert_eq!(it.guard.now(), right, "a node that is ahead uses the time of the others");
        it.set_back(HOUR / 3);
        it.guard.follow_database(right);
        assert_eq!(it.guard.doubt(), None);
        // If the database's clock jumped too, there was no jump.
        it.set_ahead(HOUR);
        assert!(it.guard.doubt().is_some());
        it.guard.follow_database(right.plus(HOUR));
        assert_eq!((it.guard.doubt(), it.guard.now()), (None, it.guard.wall()));
    }
}
