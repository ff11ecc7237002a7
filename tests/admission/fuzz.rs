//! Fuzz tests of the parsers of user input: no panics, no leaks, and linear time and memory.
//!
//! Each target in `tests/fuzz/targets.rs` runs on its committed corpus and on random mutations of it. `CNBI_SEED` repeats a
//! run; `CNBI_FUZZ_RUNS` sets the number of mutations per target. cargo-fuzz runs the same targets for longer.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::Instant;

use allocation_counter::{AllocationInfo, measure};
use cnbi_tests::random::{Random, number};

use targets::{TARGETS, Target};

/// Tokens with a meaning in at least one of the parsed formats; mutations insert them.
const TOKENS: [&str; 34] = [
    "\"", "'", "{", "}", "[", "]", "(", ")", ",", ":", ";", "/", "@", "==", ">=", "~=", "!=", "*", "&a ", "*a", "\n",
    "- ", "%2e", "\\u0000", "\u{0}", "\u{7f}", "\u{202e}", "é", "..", "sha256:", " and ", "null", "1e999", "-",
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let corpus: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(corpus.len() >= 4, "{target} has only {} corpus inputs", corpus.len());
    corpus
}

/// Mutates a random input of the corpus.
fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[random.index(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.index(input.len() + 1);
        match random.below(7) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 => input.truncate(at),
            2 => {
                let token = TOKENS[random.index(TOKENS.len())];
                input.splice(at..at, token.bytes());
            }
            3 if at < input.len() => {
                let end = (at + 1 + random.index(16)).min(input.len());
                input.drain(at..end);
            }
            4 if at < input.len() => {
                let part = input[at..(at + 1 + random.index(32)).min(input.len())].to_vec();
                for _ in 0..random.below(40) {
                    input.splice(at..at, part.iter().copied());
                }
            }
            5 => {
                let other = &corpus[random.index(corpus.len())];
                let from = random.index(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.insert(at, random.draw().to_le_bytes()[0]),
        }
    }
    input
}

#[test]
fn parsers_do_not_panic_on_any_input() {
    let mut random = Random::new();
    let runs = number("CNBI_FUZZ_RUNS").unwrap_or(1_500);
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        for (run, input) in corpus
            .iter()
            .cloned()
            .chain((0..runs).map(|_| mutated(&mut random, &corpus)))
            .enumerate()
        {
            let outcome = catch_unwind(|| target(&input));
            assert!(
                outcome.is_ok(),
                "{name} panics on input {run}; add it to the corpus: b\"{}\"",
                input.escape_ascii()
            );
        }
    }
}

#[test]
fn parsers_keep_no_memory_after_parsing() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        let mut random = Random::of(7);
        let inputs: Vec<_> = (0..200).map(|_| mutated(&mut random, &corpus)).collect();
        // The first run initializes static tables.
        let run = |inputs: &[Vec<u8>]| {
            for input in inputs {
                target(input);
            }
        };
        run(&corpus);
        let kept = measure(|| run(&inputs));
        assert!(kept.count_total > 0, "{name}: no allocation was counted");
        assert_eq!(
            (kept.bytes_current, kept.count_current),
            (0, 0),
            "{name} leaks memory after parsing"
        );
    }
}

/// The inputs that the test enlarges, as (prefix, repeated part, suffix).
fn pumped(target: &str) -> Vec<(String, String, String)> {
    let pump = |before: &str, again: &str, after: &str| (before.to_owned(), again.to_owned(), after.to_owned());
    let mut all = match target {
        "review" => {
            let begin = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"meteor.zone","version":"v1alpha1","kind":"CustomNBImage"},"resource":{"group":"meteor.zone","version":"v1alpha1","resource":"customnbimages"},"name":"n","namespace":"n","operation":"CREATE","object":{"apiVersion":"meteor.zone/v1alpha1","kind":"CustomNBImage","metadata":{"name":"n","namespace":"n"},"spec":{"#;
            let list = r#""buildType":"PackageList","builderImage":"quay.io/a/b:v1","packageVersions":["#;
            let one = |again: &str| pump(&format!("{begin}{list}\"x\""), again, "]}}}}");
            let field = |field: &str, again: &str| {
                let begin = format!("{begin}{field}\"");
                pump(&begin, again, "\"}}}}")
            };
            vec![
                one(",\"a\""),
                one(",\"a>=1,<2; python_version < '3.9'\""),
                one(",\"a=1\""),
                one(",\"-r x\""),
                one(",1"),
                field(r#""buildType":"ImageImport","fromImage":"#, "a/"),
                field(r#""buildType":"GitRepository","repositoryUrl":"#, "https://a@"),
                field(r#""buildType":"GitRepository","gitRef":"#, "a/"),
                field(r#""buildType":"#, "ImageImport"),
                pump(&format!("{begin}\"x\":"), "[", ""),
                pump(&format!("{begin}\"x\":1"), ",\"k\":1", "}}}}"),
            ]
        }
        "image" => vec![
            pump("", "a/", ""),
            pump("a", ":a", ""),
            pump("a@", "sha256:", ""),
            pump("a", ".", ""),
        ],
        "requirement" => vec![
            pump("a", ",a", ""),
            pump("a", " a", ""),
            pump("a", ">=1,", ""),
            pump("a>=1", ".1", ""),
            pump("a[", "b,", "]"),
            pump("a; ", "(", ""),
            pump("a; os_name == 'x'", " and os_name == 'x'", ""),
            pump("a; os_name == 'x'", " or os_name != 'x'", ""),
            pump("a @ https://x/", "%20", ""),
            pump("a==1", ".0", ",!=1.0.*"),
            pump("a", " ", "=1"),
            pump("-", "-", ""),
        ],
        "clone_url" => vec![
            pump("https://", "a.", "/b"),
            pump("https://h/", "../", ""),
            pump("", "a@", "h:b"),
            pump("ssh://", "[", "/"),
            pump("https://h/", "%", ""),
        ],
        "git_ref" => vec![
            pump("", "a/", "a"),
            pump("", ".", ""),
            pump("a", ".lock/", ""),
            pump("", "@", ""),
        ],
        "docker_config" => vec![
            pump(r#"{"auths":{"a":{}"#, r#","a":{}"#, "}}"),
            pump(r#"{"auths":{""#, "*", r#"":{}}}"#),
            pump(r#"{"auths":{""#, "*a", r#".io":{}}}"#),
            pump(r#"{"auths":"#, "[", ""),
        ],
        "configuration" => vec![
            pump("images: {allowed: [a", ", a", "]}"),
            pump("", "- ", ""),
            pump("", "[", ""),
            pump("a: &a x\n", "b: *a\n", ""),
            pump("rules: {CNB104: Deny", ", CNB104: Deny", "}"),
            pump("images: {allowed: [\"", "\\u0041", "\"]}"),
        ],
        other => panic!("no inputs are defined for target {other}"),
    };
    all.extend([pump("", "a", ""), pump("", "\n", ""), pump("", "é", "")]);
    all
}

/// CPU time of this thread in nanoseconds; the wall-clock time if the kernel does not report it.
fn spent(begin: Instant) -> u64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let first = told.and_then(|text| text.split(' ').next()?.parse().ok());
    first.unwrap_or_else(|| u64::try_from(begin.elapsed().as_nanos()).unwrap())
}

/// Runs the target; returns its CPU time in nanoseconds and its allocations.
fn work(target: Target, input: &[u8]) -> (u64, AllocationInfo) {
    let begin = Instant::now();
    let before = spent(begin);
    let allocated = measure(|| target(input));
    (spent(begin) - before, allocated)
}

/// The input doubles from 4 KiB to 1 MiB. Linear allocations double with it, quadratic ones grow by a factor of four; the limit
/// of three leaves room for growing tables.
///
/// Repeated scans allocate nothing, so CPU time is compared as well, for 16 times the input: linear parsing takes 16 times as
/// long, quadratic parsing 256 times. Instruction counters are not available on every machine.
#[test]
fn parsing_takes_time_and_memory_in_proportion_to_the_input() {
    const STEPS: u64 = 16;
    // Exponents of two; sizes are in bytes.
    const SHORTEST: u32 = 12;
    const LONGEST: u32 = 20;
    // Tolerance in nanoseconds; the kernel measures thread time in ticks.
    const FREE: u64 = 200_000_000;
    let mut failures = Vec::new();
    for (name, target) in TARGETS {
        for (before, again, after) in pumped(name) {
            let input = |length: usize| {
                let times = length.saturating_sub(before.len() + after.len()) / again.len();
                format!("{before}{}{after}", again.repeat(times)).into_bytes()
            };
            let case = format!("{name}: {again:?} repeated");
            let (mut times, mut last) = (Vec::new(), None::<AllocationInfo>);
            for length in (SHORTEST..=LONGEST).map(|power| 1_usize << power) {
                let (took, now) = work(target, &input(length));
                times.push(took);
                if let Some(last) = last
                    && (now.count_total > 200 + 3 * last.count_total
                        || now.bytes_total > (length as u64) + 3 * last.bytes_total)
                {
                    failures.push(format!("{case}: {last:?}, then {now:?} for {length} bytes"));
                }
                last = Some(now);
            }
            let is_slow = |short: u64, long: u64| long > FREE + 4 * STEPS * short;
            let (mut short, mut long) = (times[times.len() - 5], times[times.len() - 1]);
            // Other load can slow down a measurement, so a slow case is measured up to three times.
            for _ in 0..2 {
                if is_slow(short, long) {
                    short = work(target, &input(1 << (LONGEST - 4))).0;
                    long = work(target, &input(1 << LONGEST)).0;
                }
            }
            if is_slow(short, long) {
                failures.push(format!("{case}: {short} ns, then {long} ns"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
