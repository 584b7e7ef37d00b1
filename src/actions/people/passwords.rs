//! Passwords: Argon2id on a bounded pool, so that sign-ins leave processors and memory to other work.
//!
//! The bound belongs to the work: a permit is moved into the thread that hashes and is given back
//! when the hash is done, also when the client hung up. The memory of a hash is kept for the next
//! one, so that resident memory does not grow with the number of sign-ins.
//!
//! What follows a new password, such as the end of sessions: `users::replace_password`.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::actions::ActionError;
use crate::config::PublicUrl;
use crate::core::Core;
use crate::domain::password;
use crate::domain::password::Context;
use crate::domain::user::UserRule;
use crate::store::StoreError;

/// Memory in KiB, passes, lanes of new hashes: the first choice of OWASP's Password Storage Cheat Sheet.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The most memory in KiB that a stored hash may ask for. Django's default is 100 MiB.
const MOST_MEMORY_KIB: u32 = 128 * 1024;
/// The most passes and lanes of a stored hash.
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;
/// The most memory times passes, in KiB: about fourteen times the cost of a new hash.
const MOST_WORK: u32 = 512 * 1024;
/// The lengths that the salt and the output of a stored hash may have, in bytes.
const SALT_LENGTHS: std::ops::RangeInclusive<usize> = 8..=64;
const OUTPUT_LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;

/// The bytes of salt in a new hash, as RFC 9106 recommends.
const SALT_LENGTH: usize = 16;
/// The bytes of output in a new hash.
const OUTPUT_LENGTH: usize = 32;

/// The most hashes that wait for a permit.
const QUEUE: usize = 64;

/// The pool.
#[derive(Clone)]
pub struct Passwords {
    /// One permit for each processor but one, and at least one: the hashes at once.
    turns: Arc<Semaphore>,
    /// The hashes that run or wait.
    places: Arc<Semaphore>,
    memory: Arc<Memory>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_turns(processors.saturating_sub(1).max(1))
    }

    fn with_turns(turns: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(turns)), places: Arc::new(Semaphore::new(QUEUE + turns)), memory: Arc::default() }
    }

    /// Hashes a new password, in PHC form.
    ///
    /// # Errors
    /// [`ActionError::Busy`] when too many are waiting.
    pub async fn hash(&self, password: String) -> Result<String, ActionError> {
        self.run(move |memory| hash_with(memory, &password)).await?.map_err(|error| StoreError::Failed(error).into())
    }

    /// Whether a password fits a stored hash. Without a hash, or with one that is not
    /// [usable](is_usable_hash), it takes the time of a new hash and says no, so that nobody learns
    /// which names exist.
    ///
    /// # Errors
    /// [`ActionError::Busy`] when too many are waiting.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool, ActionError> {
        self.run(move |memory| verify_with(memory, &password, stored.as_deref())).await
    }

    async fn run<R: Send + 'static>(&self, work: impl FnOnce(&Memory) -> R + Send + 'static) -> Result<R, ActionError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ActionError::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| ActionError::Busy)?;
        let memory = Arc::clone(&self.memory);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&memory);
            // The place first: who gets the turn finds the place free.
            drop((place, turn));
            done
        });
        done.await.map_err(|error| StoreError::Failed(error.to_string()).into())
    }
}

/// Memory of hashes that are done, for the next ones: at most as many pieces as ran at once.
#[derive(Default)]
struct Memory(Mutex<Vec<Vec<Block>>>);

impl Memory {
    /// Lends `blocks` blocks to `work`. A piece larger than a new hash needs is freed afterwards.
    fn lend<R>(&self, blocks: usize, work: impl FnOnce(&mut [Block]) -> R) -> R {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut piece = kept.unwrap_or_default();
        if piece.len() < blocks {
            piece.resize(blocks, Block::new());
        }
        let done = work(piece.get_mut(..blocks).unwrap_or_default());
        if piece.len() <= MEMORY_KIB as usize {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
        }
        done
    }
}

/// Checks a new password of the user with these names, on this server.
///
/// # Errors
/// The rule it breaks.
pub fn check(core: &Core, password: &str, names: [&String; 3]) -> Result<(), UserRule> {
    let server = core.config.http.public_url.as_ref().map(PublicUrl::host);
    let context = Context::of(names.into_iter().map(String::as_str).chain(server));
    Ok(password::check(password, &context)?)
}

/// Whether a stored text is a hash that passwords can be checked against: Argon2 in PHC form, whose
/// memory, passes, lanes and lengths are within the bounds of this module. Its parameters decide what
/// a check costs, and they come from imported data.
#[must_use]
pub fn is_usable_hash(text: &str) -> bool {
    usable(text).is_some()
}

/// A stored hash, parsed and within the bounds.
struct Stored {
    argon2: Argon2<'static>,
    salt: Salt,
    output: Output,
}

fn usable(text: &str) -> Option<Stored> {
    let hash = PasswordHash::new(text).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map_or(Ok(Version::V0x10), Version::try_from).ok()?;
    let (salt, output) = (hash.salt?, hash.hash?);
    let params = Params::try_from(&hash).ok()?;
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let is_bounded = memory <= MOST_MEMORY_KIB
        && passes <= MOST_PASSES
        && lanes <= MOST_LANES
        && memory.saturating_mul(passes) <= MOST_WORK
        && SALT_LENGTHS.contains(&salt.as_ref().len())
        && OUTPUT_LENGTHS.contains(&output.as_ref().len());
    is_bounded.then(|| Stored { argon2: Argon2::new(algorithm, version, params), salt, output })
}

fn verify_with(memory: &Memory, password: &str, stored: Option<&str>) -> bool {
    let Some(Stored { argon2, salt, output }) = stored.and_then(usable) else {
        let mut nothing = [0; OUTPUT_LENGTH];
        // The time of a hash passes all the same.
        let _ = fill(memory, &argon2(), password, &[0; SALT_LENGTH], &mut nothing);
        return false;
    };
    let mut computed = vec![0; output.as_ref().len()];
    fill(memory, &argon2, password, salt.as_ref(), &mut computed).is_ok() && computed.ct_eq(output.as_ref()).into()
}

fn hash_with(memory: &Memory, password: &str) -> Result<String, String> {
    let mut salt = [0; SALT_LENGTH];
    getrandom::fill(&mut salt).map_err(|error| error.to_string())?;
    let (argon2, mut output) = (argon2(), [0; OUTPUT_LENGTH]);
    fill(memory, &argon2, password, &salt, &mut output).map_err(|error| error.to_string())?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(argon2.params()).map_err(|error| error.to_string())?,
        salt: Some(Salt::new(&salt).map_err(|error| error.to_string())?),
        hash: Some(Output::new(&output).map_err(|error| error.to_string())?),
    };
    Ok(hash.to_string())
}

fn fill(memory: &Memory, argon2: &Argon2<'_>, password: &str, salt: &[u8], output: &mut [u8]) -> argon2::Result<()> {
    memory.lend(argon2.params().block_count(), |blocks| {
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, blocks)
    })
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes on the calling thread: for the command line.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn hash(password: &str) -> Result<String, String> {
    hash_with(&Memory::default(), password)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn hashes_at_owasps_parameters_and_verifies() {
        let passwords = Passwords::new();
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(is_usable_hash(&stored));
        assert!(passwords.verify("correct horse".into(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".into(), Some(stored)).await.unwrap());
        assert!(!passwords.verify("anything".into(), None).await.unwrap());
        assert!(!passwords.verify("x".into(), Some("garbage".into())).await.unwrap());
    }

    #[tokio::test]
    async fn hashes_of_other_programs_are_verified() {
        // Argon2's reference implementation: argon2 somesalt -t 2 -m 16 -p 1, "password".
        let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let django = "$argon2i$v=19$m=512,t=2,p=2$c29tZXNhbHQ$8DuqPu4dVlNv7uVGM1/9Xg";
        let passwords = Passwords::new();
        assert!(passwords.verify("password".into(), Some(reference.into())).await.unwrap());
        assert!(!passwords.verify("Password".into(), Some(reference.into())).await.unwrap());
        assert!(is_usable_hash(django));
    }

    #[test]
    fn a_hash_that_costs_too_much_is_not_usable() {
        let hash = |params: &str| format!("$argon2id$v=19${params}$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc");
        for usable in ["m=19456,t=2,p=1", "m=102400,t=2,p=8", "m=131072,t=4,p=4", "m=8192,t=16,p=1"] {
            assert!(is_usable_hash(&hash(usable)), "{usable}");
        }
        for costly in [
            "m=19456,t=4000000,p=1",
            "m=19456,t=17,p=1",
            "m=3000000,t=1,p=1",
            "m=131073,t=1,p=1",
            "m=131072,t=5,p=1",
            "m=65536,t=9,p=1",
            "m=19456,t=2,p=17",
            "m=4294967295,t=4294967295,p=1",
            "m=7,t=1,p=1",
            "m=19456,t=0,p=1",
        ] {
            assert!(!is_usable_hash(&hash(costly)), "{costly}");
        }
        for wrong in [
            "",
            "garbage",
            "$2b$12$abcdefghijklmnopqrstuuKcK0Yyl5qbLXJQ0O0lq0iR9Hn0yO5Oe",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAA",
            "$argon2id$v=20$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$scrypt$ln=16,r=8,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ] {
            assert!(!is_usable_hash(wrong), "{wrong}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_bound_holds_when_clients_hang_up() {
        let passwords = Passwords::with_turns(1);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for _ in 0..20 {
            let (running, most, gate) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&gate));
            let work = passwords.run(move |_| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.lock().unwrap().recv().unwrap();
                running.fetch_sub(1, Ordering::SeqCst);
            });
            // The client hangs up once its turn came, or while it waits for one.
            drop(tokio::time::timeout(std::time::Duration::from_millis(5), work).await);
        }
        assert_eq!(running.load(Ordering::SeqCst), 1, "the first hash runs on, though nobody waits for it");
        assert_eq!(passwords.turns.available_permits(), 0);
        release.send(()).unwrap();
        // The permit comes back with the end of the work.
        let next = passwords.run(|_| ());
        next.await.unwrap();
        assert_eq!(most.load(Ordering::SeqCst), 1);
        assert_eq!(passwords.places.available_permits(), QUEUE + 1);
    }

    #[tokio::test]
    async fn the_memory_of_a_hash_is_used_again() {
        let passwords = Passwords::with_turns(2);
        for _ in 0..3 {
            passwords.verify("x".into(), None).await.unwrap();
            let kept: Vec<usize> = passwords.memory.0.lock().unwrap().iter().map(Vec::len).collect();
            assert_eq!(kept, [MEMORY_KIB as usize]);
        }
        let large = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        passwords.verify("x".into(), Some(large.into())).await.unwrap();
        assert!(passwords.memory.0.lock().unwrap().is_empty(), "a large piece is freed");
    }
}
