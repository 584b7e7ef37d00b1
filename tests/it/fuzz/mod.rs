//! Whatever bytes a stranger sends, the server does not fall over and lets nobody in.
//!
//! Each target takes bytes, does with them what the server would, and checks what must hold. Inputs
//! are those kept in `fuzz/TARGET/`, and mutations of them: one that is answered in a way not seen
//! before is kept and mutated further. cargo-fuzz needs a nightly compiler; this needs none, and does
//! not see which lines an input reaches, only what comes back.
//!
//! `FUZZ_SECONDS` says how long each target goes on (without it, a moment); `FUZZ_KEEP=1` writes what
//! was answered in a new way into `fuzz/TARGET/`.

mod bodies;
mod enrich;
mod guard;
mod http;
mod oidc;
mod passkeys;
mod targets;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::Dice;

/// The largest input that is mutated further.
const MAX_LENGTH: usize = 16 * 1024;
/// The largest input that is kept on disk, and how many are kept of one run.
const MAX_KEPT: usize = 4096;
const MOST_KEPT: usize = 60;

/// One target's inputs.
struct Fuzz {
    folder: PathBuf,
    /// Pieces that mean something to the target.
    words: Vec<Vec<u8>>,
    inputs: Vec<Vec<u8>>,
    /// The input that is tried now.
    input: Vec<u8>,
    /// How many were tried, and how many first ones there are.
    count: usize,
    first: usize,
    kept: usize,
    /// The kinds of answers that were seen.
    seen: HashSet<String>,
    until: Instant,
    dice: Dice,
}

impl Drop for Fuzz {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} with the input b\"{}\"", self.name(), self.input.escape_ascii());
        }
    }
}

impl Fuzz {
    /// A target with its first inputs.
    fn new(target: &str, words: &[&[u8]], seeds: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(target);
        let mut kept: Vec<PathBuf> = match std::fs::read_dir(&folder) {
            Ok(files) => files.map(|file| file.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        };
        kept.sort();
        let kept = kept.iter().map(|path| std::fs::read(path).unwrap());
        let inputs: Vec<Vec<u8>> = seeds.into_iter().chain(kept).collect();
        let seconds = std::env::var("FUZZ_SECONDS").ok().map(|text| text.parse().expect("FUZZ_SECONDS is a number"));
        Self {
            folder,
            words: words.iter().map(|word| word.to_vec()).collect(),
            first: inputs.len(),
            inputs,
            input: Vec::new(),
            count: 0,
            kept: 0,
            seen: HashSet::new(),
            until: Instant::now() + Duration::from_secs_f64(seconds.unwrap_or(0.4)),
            dice: Dice::new(),
        }
    }

    fn name(&self) -> String {
        self.folder.file_name().unwrap().to_string_lossy().into_owned()
    }

    /// The next input: the first ones, then mutations until the time is over.
    fn next(&mut self) -> Option<Vec<u8>> {
        if self.count >= self.first && Instant::now() > self.until {
            eprintln!("{}: {} inputs, answered in {} ways", self.name(), self.count, self.seen.len());
            return None;
        }
        self.input = if self.count < self.first { self.inputs[self.count].clone() } else { self.mutate() };
        self.count += 1;
        Some(self.input.clone())
    }

    /// Takes how the target answered the input, in words that are the same for answers of one kind.
    fn answered(&mut self, kind: String) {
        if !self.seen.insert(kind) || self.count <= self.first || self.input.len() > MAX_LENGTH {
            return;
        }
        if std::env::var_os("FUZZ_KEEP").is_some() && self.input.len() <= MAX_KEPT && self.kept < MOST_KEPT {
            self.kept += 1;
            self.keep(&self.input);
        }
        self.inputs.push(self.input.clone());
    }

    fn keep(&self, input: &[u8]) {
        use sha2::Digest;
        let name: String = sha2::Sha256::digest(input).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        std::fs::create_dir_all(&self.folder).unwrap();
        std::fs::write(self.folder.join(name), input).unwrap();
    }

    /// An input with some changes.
    fn mutate(&mut self) -> Vec<u8> {
        let mut input = self.dice.pick(&self.inputs).clone();
        for _ in 0..1 + self.dice.below(5) {
            self.change(&mut input);
        }
        input.truncate(8 * MAX_LENGTH);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let dice = &mut self.dice;
        let at = dice.below(input.len() + 1);
        let end = (at + 1 + dice.below(16)).min(input.len());
        match dice.below(12) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 if at < input.len() => input[at] = *dice.pick(b"\0\x01\t\n\r \"'%&+,./0:;<=>?@[\\]_{}~\x7f\x80\xc3\xff"),
            2 if at < input.len() => input[at] = dice.next() as u8,
            3 => drop(input.splice(at..at, dice.pick(&self.words).clone())),
            4 if at < end => drop(input.splice(at..end, dice.pick(&self.words).clone())),
            5 if at < end => drop(input.drain(at..end)),
            6 => input.truncate(at),
            7 if at < end => {
                let (piece, times) = (input[at..end].to_vec(), *dice.pick(&[1, 2, 7, 100, 1000]));
                input.splice(at..at, piece.repeat(times));
            }
            8 => {
                let other = dice.pick(&self.inputs);
                let (from, until) = (dice.below(other.len() + 1), dice.below(other.len() + 1));
                let piece = other[from.min(until)..from.max(until)].to_vec();
                input.splice(at..at, piece);
            }
            9 => drop(input.splice(at..at, dice.pick(&STRANGE).bytes())),
            10 if at < end => {
                let to = dice.below(input.len());
                let piece: Vec<u8> = input.drain(at..end).collect();
                let to = to.min(input.len());
                input.splice(to..to, piece);
            }
            _ => input.insert(at, dice.next() as u8),
        }
    }
}

/// A message without what it quotes and counts: the same for all faults of one kind.
fn outline(message: &str) -> String {
    let quoted = |c: char| matches!(c, '"' | '\'' | '`');
    let outside = message.split(quoted).step_by(2).flat_map(str::chars);
    outside.filter(char::is_ascii_alphabetic).take(20).collect()
}

/// Text that is often read wrongly.
const STRANGE: [&str; 12] =
    ["\u{0}", "\u{feff}", "\u{202e}", "\u{fffd}", "é", "İ", "ß", "🦊", "\u{10ffff}", "٣", "9223372036854775808", "-1e999"];
