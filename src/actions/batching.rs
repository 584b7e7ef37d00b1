//! What many ask for at the same moment, done for those who wait together: with a few statements for all of
//! them, instead of a few for each.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::core::Core;
use crate::store::{BoxFuture, StoreError};

/// The most that wait. Whoever comes then is refused.
const MOST_WAITING: usize = 4096;

/// How long anybody waits: as long as for a connection, and for what then is to be written.
const WAIT: Duration = Duration::from_secs(15);

/// Does the jobs that it takes, and gives an answer for each, in their order.
pub type Work<J, A> = fn(Arc<Core>, Batch<J, A>) -> BoxFuture<'static, Result<Vec<A>, StoreError>>;

/// Those who wait for the same kind of work. Nobody waits for others to come: work begins for whoever finds less
/// going on than may, and who comes meanwhile is done together with all who came meanwhile.
pub struct Batching<J, A>(Arc<Shared<J, A>>);

struct Shared<J, A> {
    line: Mutex<Line<J, A>>,
    work: Work<J, A>,
    /// How many pieces of work go on at once, at most.
    most_at_once: usize,
    /// For how many one is done, at most.
    most_together: usize,
}

struct Line<J, A> {
    waiting: VecDeque<(J, Answer<A>)>,
    at_work: usize,
    /// Whether one of them has yet to take its jobs: until it does, whoever comes is among them.
    is_one_open: bool,
}

/// The jobs of one piece of work.
pub struct Batch<J, A> {
    shared: Arc<Shared<J, A>>,
    core: Arc<Core>,
    /// Where the next piece begins: SQLite's writer, which takes jobs, is no part of it.
    runtime: Handle,
    /// For those whose jobs were taken; `None` until then.
    answers: Answers<A>,
}

type Answer<A> = oneshot::Sender<Result<A, StoreError>>;
type Answers<A> = Arc<Mutex<Option<Vec<Answer<A>>>>>;

/// How many pieces of work are to go on at once on this machine: of fewer, each is for more, and the database has the
/// other processors.
#[must_use]
pub fn at_once() -> usize {
    std::thread::available_parallelism().map_or(1, |all| (all.get() / 2).clamp(1, 4))
}

impl<J: Send + 'static, A: Send + 'static> Batching<J, A> {
    /// Nobody waits yet. So many pieces of `work` may go on at once, each for at most so many.
    pub fn new(work: Work<J, A>, most_at_once: usize, most_together: usize) -> Self {
        let line = Mutex::new(Line { waiting: VecDeque::new(), at_work: 0, is_one_open: false });
        Self(Arc::new(Shared { line, work, most_at_once, most_together }))
    }

    /// How many wait for their work to begin.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.0.line).waiting.len()
    }

    /// Has a job done. It is done also when whoever asks hangs up after its work began.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when too many wait, or it takes too long; [`StoreError::Failed`] when the work
    /// panicked; and what the work for this job and others gives.
    pub async fn ask(&self, core: &Arc<Core>, job: J) -> Result<A, StoreError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut line = lock(&self.0.line);
            if line.waiting.len() >= MOST_WAITING {
                return Err(StoreError::Busy);
            }
            line.waiting.push_back((job, answer));
            self.0.begin(&mut line, core, &Handle::current());
        }
        let answered = tokio::time::timeout(WAIT, answered).await.map_err(|_| StoreError::Busy)?;
        answered.map_err(|_| StoreError::Failed("nobody answered".into()))?
    }
}

impl<J: Send + 'static, A: Send + 'static> Shared<J, A> {
    /// Begins a piece of work, if somebody waits for one and there may be one more.
    fn begin(self: &Arc<Self>, line: &mut Line<J, A>, core: &Arc<Core>, runtime: &Handle) {
        if line.is_one_open || line.waiting.is_empty() || line.at_work >= self.most_at_once {
            return;
        }
        line.is_one_open = true;
        line.at_work += 1;
        let (shared, core, same) = (Arc::clone(self), Arc::clone(core), runtime.clone());
        runtime.spawn(async move {
            let answers = Answers::default();
            let batch = || Batch {
                shared: Arc::clone(&shared),
                core: Arc::clone(&core),
                runtime: same.clone(),
                answers: Arc::clone(&answers),
            };
            // One that panics is our mistake, and no reason to leave the others waiting.
            let done = AssertUnwindSafe((shared.work)(Arc::clone(&core), batch())).catch_unwind().await;
            let done = done.unwrap_or_else(|_| Err(StoreError::Failed("the work panicked".into())));
            // Where it did not come to take them.
            drop(batch().take());
            tell(done, lock(&answers).take().unwrap_or_default());
            let mut line = lock(&shared.line);
            line.at_work = line.at_work.saturating_sub(1);
            shared.begin(&mut line, &core, &same);
        });
    }
}

/// Nobody listens who hung up.
fn tell<A>(done: Result<Vec<A>, StoreError>, answers: Vec<Answer<A>>) {
    match done {
        Ok(done) => done.into_iter().zip(answers).for_each(|(done, answer)| drop(answer.send(Ok(done)))),
        Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone())))),
    }
}

impl<J: Send + 'static, A: Send + 'static> Batch<J, A> {
    /// The jobs of those who wait now. The second time, none.
    #[must_use]
    pub fn take(&self) -> Vec<J> {
        let mut answers = lock(&self.answers);
        if answers.is_some() {
            return Vec::new();
        }
        let mut line = lock(&self.shared.line);
        line.waiting.retain(|(_, answer)| !answer.is_closed());
        let these = line.waiting.len().min(self.shared.most_together);
        let (jobs, these) = line.waiting.drain(..these).unzip();
        *answers = Some(these);
        line.is_one_open = false;
        self.shared.begin(&mut line, &self.core, &self.runtime);
        jobs
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
