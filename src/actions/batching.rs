//! Batches concurrent requests of one kind: a batch runs a few statements for all its jobs instead
//! of a few for each.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::core::Core;
use crate::store::{BoxFuture, StoreError};

/// The longest queue. Further jobs are refused as busy.
const MOST_WAITING: usize = 4096;

/// How long a caller waits for its answer: as long as for a database connection and the write that
/// follows.
const WAIT: Duration = Duration::from_secs(15);

/// Takes the jobs of a batch, does them, and returns one answer for each, in their order.
pub type Work<J, A> = fn(Arc<Core>, Batch<J, A>) -> BoxFuture<'static, Result<Vec<A>, StoreError>>;

/// A queue of jobs of one kind, and the batches that take them from it. A batch starts at once
/// while fewer than `most_at_once` run; jobs that arrive during that time form the next batch. No
/// batch waits for more jobs.
pub struct Batching<J, A>(Arc<Shared<J, A>>);

struct Shared<J, A> {
    queue: Mutex<Queue<J, A>>,
    work: Work<J, A>,
    /// The most batches that run at the same time.
    most_at_once: usize,
    /// The most jobs in one batch.
    most_jobs: usize,
}

struct Queue<J, A> {
    jobs: VecDeque<(J, Answer<A>)>,
    running: usize,
    /// Whether a batch that was started has not taken its jobs yet. Jobs that arrive until then
    /// join it, so no other batch starts.
    has_untaken_batch: bool,
}

/// One batch: it holds no jobs until [`Batch::take`].
pub struct Batch<J, A> {
    shared: Arc<Shared<J, A>>,
    core: Arc<Core>,
    /// Where the next batch is spawned: `take` may run on SQLite's writer thread, which is outside
    /// of the runtime.
    runtime: Handle,
    /// Where the answers to the taken jobs go; `None` until they are taken.
    answers: Answers<A>,
}

type Answer<A> = oneshot::Sender<Result<A, StoreError>>;
type Answers<A> = Arc<Mutex<Option<Vec<Answer<A>>>>>;

/// The number of batches to run at the same time on this machine: half of its processors, between 1
/// and 4. Fewer batches are larger ones, and the database needs the other processors.
#[must_use]
pub fn at_once() -> usize {
    std::thread::available_parallelism().map_or(1, |all| (all.get() / 2).clamp(1, 4))
}

impl<J: Send + 'static, A: Send + 'static> Batching<J, A> {
    /// An empty queue. At most `most_at_once` batches of `work` run at the same time, each with at
    /// most `most_jobs` jobs.
    pub fn new(work: Work<J, A>, most_at_once: usize, most_jobs: usize) -> Self {
        let queue = Mutex::new(Queue { jobs: VecDeque::new(), running: 0, has_untaken_batch: false });
        Self(Arc::new(Shared { queue, work, most_at_once, most_jobs }))
    }

    /// The number of jobs in the queue, whose batch has not taken them yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.0.queue).jobs.len()
    }

    /// Queues a job and waits for its answer. Once a batch took the job, it is done even when the
    /// caller's future is dropped; before that, such a job is removed from the queue.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full or the answer takes longer than 15 seconds;
    /// [`StoreError::Failed`] when the work panicked; any error of the batch, which all its jobs
    /// share.
    pub async fn ask(&self, core: &Arc<Core>, job: J) -> Result<A, StoreError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = lock(&self.0.queue);
            if queue.jobs.len() >= MOST_WAITING {
                return Err(StoreError::Busy);
            }
            queue.jobs.push_back((job, answer));
            self.0.start_batch(&mut queue, core, &Handle::current());
        }
        let answered = tokio::time::timeout(WAIT, answered).await.map_err(|_| StoreError::Busy)?;
        answered.map_err(|_| StoreError::Failed("the batch ended without an answer".into()))?
    }
}

impl<J: Send + 'static, A: Send + 'static> Shared<J, A> {
    /// Starts a batch, if jobs are queued, no started batch is still without its jobs, and fewer
    /// than `most_at_once` run.
    fn start_batch(self: &Arc<Self>, queue: &mut Queue<J, A>, core: &Arc<Core>, runtime: &Handle) {
        if queue.has_untaken_batch || queue.jobs.is_empty() || queue.running >= self.most_at_once {
            return;
        }
        queue.has_untaken_batch = true;
        queue.running += 1;
        let (shared, core, same) = (Arc::clone(self), Arc::clone(core), runtime.clone());
        runtime.spawn(async move {
            let answers = Answers::default();
            let batch = || Batch {
                shared: Arc::clone(&shared),
                core: Arc::clone(&core),
                runtime: same.clone(),
                answers: Arc::clone(&answers),
            };
            // A panic is a fault of ours. It fails this batch, and the queue goes on.
            let done = AssertUnwindSafe((shared.work)(Arc::clone(&core), batch())).catch_unwind().await;
            let done = done.unwrap_or_else(|_| Err(StoreError::Failed("the work panicked".into())));
            // A batch that failed before it took its jobs: takes them now, so that they get the
            // error.
            drop(batch().take());
            send(done, lock(&answers).take().unwrap_or_default());
            let mut queue = lock(&shared.queue);
            queue.running = queue.running.saturating_sub(1);
            shared.start_batch(&mut queue, &core, &same);
        });
    }
}

/// Sends the answers, or the error, to the callers. A caller that is gone is skipped.
fn send<A>(done: Result<Vec<A>, StoreError>, answers: Vec<Answer<A>>) {
    match done {
        Ok(done) => done.into_iter().zip(answers).for_each(|(done, answer)| drop(answer.send(Ok(done)))),
        Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone())))),
    }
}

impl<J: Send + 'static, A: Send + 'static> Batch<J, A> {
    /// Takes the queued jobs, at most `most_jobs` of them, without those whose callers are
    /// gone. A second call returns none.
    #[must_use]
    pub fn take(&self) -> Vec<J> {
        let mut answers = lock(&self.answers);
        if answers.is_some() {
            return Vec::new();
        }
        let mut queue = lock(&self.shared.queue);
        queue.jobs.retain(|(_, answer)| !answer.is_closed());
        let these = queue.jobs.len().min(self.shared.most_jobs);
        let (jobs, these) = queue.jobs.drain(..these).unzip();
        *answers = Some(these);
        queue.has_untaken_batch = false;
        self.shared.start_batch(&mut queue, &self.core, &self.runtime);
        jobs
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
