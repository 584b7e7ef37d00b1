//! The end jobs of this process: its name in leases, how many jobs run, and whether it is stopping.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::domain::{Timestamp, secret};
use crate::store::sessions::end_job::Lease;

/// The length of a lease. The jobs of a crashed process wait for this time.
const LEASE: Duration = Duration::from_secs(15);

/// The end jobs of this process.
pub struct EndJobs {
    /// The name of this process in leases; `None`: the operating system had no randomness, and it
    /// runs no jobs.
    holder: Option<String>,
    is_stopping: AtomicBool,
    running: Arc<AtomicUsize>,
}

impl Default for EndJobs {
    fn default() -> Self {
        let holder = secret::random_alphanumeric(20).ok();
        Self { holder, is_stopping: AtomicBool::new(false), running: Arc::default() }
    }
}

impl EndJobs {
    /// Lets the running jobs stop between two transactions, and starts no more. Another process, or
    /// the next start, continues them.
    pub fn close(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    /// The same, and waits until none runs.
    pub async fn stop(&self) {
        self.close();
        while self.running.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether [`EndJobs::close`] was called.
    pub(in crate::actions) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// The name of this process in leases.
    pub(in crate::actions) fn holder(&self) -> Option<String> {
        self.holder.clone()
    }

    /// A lease from `now` on.
    pub(in crate::actions) fn lease(&self, now: Timestamp) -> Option<Lease> {
        Some(Lease { holder: self.holder()?, until: now.plus(LEASE) })
    }

    /// Counts a job that starts, until the value is dropped.
    pub(in crate::actions) fn start(&self) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(Arc::clone(&self.running))
    }
}

/// A running job.
pub(in crate::actions) struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
