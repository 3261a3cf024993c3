//! The house itself: floors, purity, names, sizes (`house-style.md`). Each violation says file, line and what would be right.
//!
//! It reads the source as text: comments and literals are blanked out first, so that only code counts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A room and the rooms it may use; `sip::uri` allows that part only.
const FLOORS: &[(&str, &[&str])] = &[
    ("sip", &[]),
    ("documents", &["sip::uri", "sip::time"]),
    ("auth", &["sip", "documents"]),
    ("registrar", &["sip", "documents"]),
    ("presence", &["sip", "documents"]),
    ("immcu", &["sip", "documents"]),
    ("calls", &["sip", "documents"]),
    (
        "dialect",
        &[
            "sip",
            "documents",
            "auth",
            "registrar",
            "presence",
            "immcu",
            "calls",
        ],
    ),
    (
        "shard",
        &[
            "sip",
            "documents",
            "auth",
            "registrar",
            "presence",
            "immcu",
            "calls",
            "dialect",
        ],
    ),
    (
        "shell",
        &[
            "sip",
            "documents",
            "auth",
            "registrar",
            "presence",
            "immcu",
            "calls",
            "dialect",
            "shard",
        ],
    ),
];

/// The roof: above the floors, uses everything, is used by nobody below.
const ROOF: &[&str] = &["cli", "config", "lib", "main"];

/// What code below the shell does without, and what it has instead.
const IMPURE: &[(&str, &str)] = &[
    ("glommio", "the executor is the shell's; push an effect"),
    ("rustls", "TLS is the shell's"),
    (
        "crossbeam_queue",
        "mailboxes are the shell's; push Effect::Post",
    ),
    (
        "crossbeam_channel",
        "channels are the shell's; push an effect",
    ),
    ("rusqlite", "the store is the shell's; push an effect"),
    ("socket2", "sockets are the shell's"),
    ("rustix", "the host is the shell's"),
    (
        "std::net",
        "sockets are the shell's; core::net has the addresses",
    ),
    ("std::thread", "threads are the shell's"),
    ("std::fs", "files are the shell's"),
    ("std::io", "I/O is the shell's"),
    ("std::env", "the environment is the roof's"),
    ("std::process", "the process is the shell's"),
    (
        "std::time",
        "time comes in as `Now`; core::time has Duration",
    ),
    ("Instant", "time comes in as `Now`"),
    ("SystemTime", "time comes in as `Now`"),
    ("std::sync::Mutex", "no locks: a shard is one thread"),
    ("std::sync::RwLock", "no locks: a shard is one thread"),
    ("std::sync::atomic", "no atomics: a shard is one thread"),
    ("core::sync::atomic", "no atomics: a shard is one thread"),
    ("OnceLock", "no globals: hand it in"),
    ("LazyLock", "no globals: hand it in"),
    ("static mut", "no globals: hand it in"),
    ("thread_local", "no globals: hand it in"),
    ("async", "nothing waits below the shell"),
    ("await", "nothing waits below the shell"),
    ("OsRng", "randomness is lent by the shell"),
    ("getrandom", "randomness is lent by the shell"),
    (
        "RandomState::new",
        "a hasher needs a seed that is handed in, or a replay differs",
    ),
    (
        "RandomState::default",
        "a hasher needs a seed that is handed in, or a replay differs",
    ),
    (
        "HashMap::new",
        "a hasher needs a seed that is handed in, or a replay differs",
    ),
    (
        "HashSet::new",
        "a hasher needs a seed that is handed in, or a replay differs",
    ),
    (
        "HashMap::with_capacity",
        "a hasher needs a seed that is handed in, or a replay differs",
    ),
    (
        "HashSet::with_capacity",
        "a hasher needs a seed that is handed in, or a replay differs",
    ),
    ("tracing", "the shell logs; push an effect"),
    ("println", "the shell prints"),
    ("eprintln", "the shell prints"),
    ("print", "the shell prints"),
    ("eprint", "the shell prints"),
    ("dbg", "left over from a search for a bug"),
];

/// Names that say of what kind a file is, not what it owns.
const KINDS: &[&str] = &[
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "misc",
    "manager",
    "handler",
    "processor",
    "context",
    "info",
    "data",
];

/// Longer files ask what the second noun is.
const FILE_LINES_MAX: usize = 800;
/// Begins the comment that answers.
const LONG_MARK: &str = "LONG:";

#[test]
fn floors_hold() {
    judge(|file, violations| {
        let Some(room) = file.room() else { return };
        let Some((_, below)) = FLOORS.iter().find(|(name, _)| *name == room) else {
            if !ROOF.contains(&room) {
                file.blame(
                    violations,
                    1,
                    &format!("the room `{room}` has no floor in tests/tidy.rs"),
                );
            }
            return;
        };
        for (line, path) in paths_from(&file.code, "crate") {
            let target = path.split("::").next().unwrap_or("");
            let known = FLOORS.iter().any(|(name, _)| *name == target) || ROOF.contains(&target);
            let allowed = below
                .iter()
                .any(|each| path == *each || path.starts_with(&format!("{each}::")));
            if known && target != room && !allowed {
                file.blame(
                    violations,
                    line,
                    &format!("`{room}` may not use `{path}`; it may use {below:?}"),
                );
            }
        }
        // `super` may not climb out of the room: then the floor would not show.
        for (line, supers) in climbs(&file.code) {
            let inner = usize::from(line >= file.tests_from);
            if supers >= file.module_depth() + inner {
                file.blame(
                    violations,
                    line,
                    "`super` leaves the room; say `crate::` and the room's name",
                );
            }
        }
    });
}

#[test]
fn nothing_below_the_shell_touches_the_world() {
    judge(|file, violations| {
        let below_shell = file
            .room()
            .is_some_and(|room| room != "shell" && !ROOF.contains(&room));
        if !below_shell {
            return;
        }
        for (line, code) in file.live_code() {
            for (word, instead) in IMPURE {
                if has_word(code, word) {
                    file.blame(
                        violations,
                        line,
                        &format!("`{word}` below the shell: {instead}"),
                    );
                }
            }
        }
    });
}

#[test]
fn only_one_small_module_is_unsafe() {
    let mut with_unsafe = Vec::new();
    judge(|file, violations| {
        let lines: Vec<_> = file
            .live_code()
            .filter(|(_, code)| has_word(code, "unsafe"))
            .map(|(line, _)| line)
            .collect();
        let Some(first) = lines.first().copied() else {
            return;
        };
        if file.room() != Some("shell") {
            file.blame(violations, first, "`unsafe` outside the shell");
        }
        with_unsafe.push(file.name.clone());
        if with_unsafe.len() > 1 {
            file.blame(
                violations,
                first,
                &format!(
                    "`unsafe` in a second module; {} has it already",
                    with_unsafe[0]
                ),
            );
        }
    });
}

#[test]
fn nothing_is_left_unfinished_or_unwrapped() {
    judge(|file, violations| {
        let lines: Vec<&str> = file.code.lines().collect();
        for (line, code) in file.live_code() {
            for stub in ["todo!", "unimplemented!"] {
                if has_word(code, stub.trim_end_matches('!')) && code.contains(stub) {
                    file.blame(violations, line, &format!("`{stub}` is a stub"));
                }
            }
            if code.contains(".unwrap()") {
                // rustfmt breaks a chain: the comment stands on this line or above the first line of the statement.
                let mut above = line;
                while above > 1
                    && lines
                        .get(above - 1)
                        .is_some_and(|code| code.trim_start().starts_with('.'))
                {
                    above -= 1;
                }
                let explained =
                    (above.saturating_sub(1)..=line).any(|line| file.commented.contains(&line));
                if !explained {
                    file.blame(
                        violations,
                        line,
                        "`unwrap` without a comment that says why it cannot fail",
                    );
                }
            }
        }
    });
}

#[test]
fn files_are_named_by_what_they_own_and_stay_readable() {
    judge(|file, violations| {
        let stem = file
            .path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or("");
        let folder = file
            .path
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if let Some(kind) = KINDS.iter().find(|kind| **kind == stem || **kind == folder) {
            file.blame(
                violations,
                1,
                &format!("`{kind}` names a kind; name the noun it owns"),
            );
        }
        let count = file.text.lines().count();
        if count > FILE_LINES_MAX && !file.text.contains(&format!("// {LONG_MARK}")) {
            let advice = format!(
                "{count} lines: what is the second noun? (or say why with a comment `// {LONG_MARK}`)"
            );
            file.blame(violations, FILE_LINES_MAX, &advice);
        }
        let head = file.text.lines().next().unwrap_or("");
        if !head.starts_with("//! ") {
            file.blame(
                violations,
                1,
                "no head: say with `//!` what it owns, what always holds, what is not here",
            );
        } else if head.contains("To be written") {
            file.blame(violations, 1, "to be written");
        }
    });
}

#[test]
fn every_room_is_told_of_in_lib() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let head: String = lib
        .lines()
        .filter(|line| line.starts_with("//!"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut missing = String::new();
    for entry in std::fs::read_dir(root().join("src"))
        .expect("src")
        .flatten()
    {
        let name = entry
            .path()
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or("")
            .to_owned();
        if name != "lib" && name != "main" && !head.contains(&format!("`{name}`")) {
            let _ = writeln!(
                missing,
                "src/lib.rs:1: its head does not tell of the room `{name}`"
            );
        }
    }
    assert!(missing.is_empty(), "\n{missing}");
}

/// `loadgen` speaks SIP with the server's own words, and knows nothing else of it.
#[test]
fn loadgen_uses_the_language_only() {
    let mut violations = String::new();
    for file in sources(&root().join("loadgen/src")) {
        for (line, path) in paths_from(&file.code, "muster") {
            if path.split("::").next() != Some("sip") {
                file.blame(
                    &mut violations,
                    line,
                    &format!("loadgen may use `muster::sip`, not `{path}`"),
                );
            }
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

/// Runs a rule over the server's source.
fn judge(mut rule: impl FnMut(&Source, &mut String)) {
    let mut violations = String::new();
    let files = sources(&root().join("src"));
    assert!(files.len() > 10, "the source was not found");
    for file in &files {
        rule(file, &mut violations);
    }
    assert!(violations.is_empty(), "\n{violations}");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A source file as the rules see it.
struct Source {
    path: PathBuf,
    /// From the root of the house, for a person.
    name: String,
    text: String,
    /// The text with comments and literals blanked out, line by line the same.
    code: String,
    /// Numbers of the lines that have a comment.
    commented: Vec<usize>,
    /// The line from which on it is tests; past the end where there are none.
    tests_from: usize,
}

impl Source {
    fn read(path: &Path) -> Source {
        let text = std::fs::read_to_string(path).expect("a source file");
        let name = path
            .strip_prefix(root())
            .unwrap_or(path)
            .display()
            .to_string();
        Source::of(path.to_owned(), name, text)
    }

    fn of(path: PathBuf, name: String, text: String) -> Source {
        let (code, commented) = blank(&text);
        let is_tests = path.file_stem().is_some_and(|stem| stem == "tests")
            || path.iter().any(|part| part == "tests");
        let tests_from = if is_tests {
            0
        } else {
            let lines: Vec<&str> = code.lines().collect();
            let found = lines
                .windows(2)
                .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].trim().ends_with('{'));
            found.map_or(usize::MAX, |index| index + 1)
        };
        Source {
            path,
            name,
            text,
            code,
            commented,
            tests_from,
        }
    }

    /// `src/room/…` or `src/room.rs`.
    fn room(&self) -> Option<&str> {
        let rest = self.name.strip_prefix("src/")?;
        rest.split('/')
            .next()
            .map(|first| first.trim_end_matches(".rs"))
    }

    /// How many modules deep: 1 for a room's `mod.rs`.
    fn module_depth(&self) -> usize {
        let parts = self.name.split('/').count() - 1;
        if self.name.ends_with("/mod.rs") || self.name == "src/lib.rs" {
            parts - 1
        } else {
            parts
        }
    }

    /// Lines that are not tests.
    fn live_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .lines()
            .enumerate()
            .map(|(index, code)| (index + 1, code))
            .filter(|(line, _)| *line < self.tests_from)
    }

    fn blame(&self, violations: &mut String, line: usize, what: &str) {
        let _ = writeln!(violations, "{}:{line}: {what}", self.name);
    }
}

fn sources(folder: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .expect("a folder of the house")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(Source::read(&path));
            }
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

/// Whether `code` has `word` with no part of a longer name at either end.
fn has_word(code: &str, word: &str) -> bool {
    let part_of_name =
        |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    code.match_indices(word).any(|(at, _)| {
        let before = at
            .checked_sub(1)
            .and_then(|at| code.as_bytes().get(at).copied());
        let after = code.as_bytes().get(at + word.len()).copied();
        !part_of_name(before) && !part_of_name(after)
    })
}

/// Each path that begins with `start::`, with its groups taken apart: its line, and what follows `start::`.
fn paths_from(code: &str, start: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let opening = format!("{start}::");
    for (at, _) in code.match_indices(&opening) {
        let before = at
            .checked_sub(1)
            .and_then(|at| code.as_bytes().get(at).copied());
        if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')) {
            continue;
        }
        let mut rest = &code[at + opening.len()..];
        let mut list = Vec::new();
        use_tree(&mut rest, "", &mut list);
        let line = code[..at].matches('\n').count() + 1;
        found.extend(list.into_iter().map(|path| (line, path)));
    }
    found
}

/// Reads `a::b`, `a::{b, c::{d, e}}`; pushes the whole paths.
fn use_tree(rest: &mut &str, prefix: &str, list: &mut Vec<String>) {
    let mut path = prefix.to_owned();
    loop {
        *rest = rest.trim_start();
        if let Some(inside) = rest.strip_prefix('{') {
            *rest = inside;
            loop {
                *rest = rest.trim_start();
                if let Some(after) = rest.strip_prefix('}') {
                    *rest = after;
                    return;
                }
                let before = rest.len();
                use_tree(rest, &path, list);
                *rest = rest.trim_start();
                // `a as b` in a group: skip to the next comma or the end.
                let end = rest.find([',', '}']).unwrap_or(rest.len());
                *rest = rest[end..].strip_prefix(',').unwrap_or(&rest[end..]);
                if rest.len() == before || rest.is_empty() {
                    return;
                }
            }
        }
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '*')
            .unwrap_or(rest.len());
        if end == 0 {
            list.push(path);
            return;
        }
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(&rest[..end]);
        *rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after) => *rest = after,
            None => {
                list.push(path);
                return;
            }
        }
    }
}

/// Runs of `super::super::…`: line, how many.
fn climbs(code: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(at) = rest.find("super::") {
            let run = &rest[at..];
            let mut count = 0;
            let mut after = run;
            while let Some(next) = after.strip_prefix("super::") {
                count += 1;
                after = next;
            }
            found.push((index + 1, count));
            rest = after;
        }
    }
    found
}

/// Blanks comments, strings and characters; says which lines (from 1) have a comment.
fn blank(text: &str) -> (String, Vec<usize>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut commented = Vec::new();
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = match rest {
            [b'/', b'/', ..] => {
                commented.push(line_of(at));
                at + rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(rest.len())
            }
            [b'/', b'*', ..] => {
                let end = end_of_block_comment(bytes, at);
                commented.extend(line_of(at)..=line_of(end.min(text.len())));
                end
            }
            [b'r', b'"' | b'#', ..] if !in_name(bytes, at) => {
                end_of_raw(bytes, at).unwrap_or(at + 1)
            }
            [b'"', ..] => end_of_quoted(bytes, at, b'"'),
            // A character, not a lifetime: closed within an escape or one character.
            [b'\'', b'\\', ..] => end_of_quoted(bytes, at, b'\''),
            [b'\'', ..] => {
                let next = text[at + 1..].chars().next().map_or(1, char::len_utf8);
                if bytes.get(at + 1 + next) == Some(&b'\'') {
                    at + 2 + next
                } else {
                    at + 1
                }
            }
            _ => {
                at += 1;
                continue;
            }
        };
        if end > at + 1 {
            for byte in &mut code[at..end.min(bytes.len())] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        at = end;
    }
    (
        String::from_utf8(code).expect("only whole characters were blanked"),
        commented,
    )
}

fn in_name(bytes: &[u8], at: usize) -> bool {
    // `br"…"` is a literal as well.
    let before = at.checked_sub(1).and_then(|at| bytes.get(at).copied());
    before.is_some_and(|byte| byte != b'b' && (byte.is_ascii_alphanumeric() || byte == b'_'))
}

fn end_of_block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// `r"…"`, `r#"…"#`; None for a raw identifier such as `r#type`.
fn end_of_raw(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let found = bytes[open + 1..]
        .windows(close.len())
        .position(|window| window == close);
    Some(found.map_or(bytes.len(), |index| open + 1 + index + close.len()))
}

fn end_of_quoted(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The rules' own eyes: what they see of a text that tries to deceive them.
#[test]
fn tidy_sees_code_and_nothing_else() {
    let text = "//! async\nuse crate::{sip::{uri::Uri, time}, shard as owner};\nlet a = \"unsafe \\\" x\"; // why\n\
                let b = r#\"std::net \"x\" \"#; let c = '\"'; let d: &'a str = b\"x\"; /* /* await */ */ e\n\
                fn f() { g::crate_::h(); crate::cli::run() }\n#[cfg(test)]\nmod tests {\n use super::super::x;\n}\n";
    let file = Source::of(
        "src/immcu/x.rs".into(),
        "src/immcu/x.rs".into(),
        text.into(),
    );
    let paths: Vec<_> = paths_from(&file.code, "crate")
        .into_iter()
        .map(|(line, path)| format!("{line} {path}"))
        .collect();
    assert_eq!(
        paths,
        ["2 sip::uri::Uri", "2 sip::time", "2 shard", "5 cli::run"]
    );
    for word in ["async", "unsafe", "net", "await"] {
        assert!(
            !has_word(&file.code, word),
            "{word} is no code in {}",
            file.code
        );
    }
    assert!(has_word(&file.code, "e") && file.code.contains("let d: &'a str"));
    assert_eq!(
        (file.commented.as_slice(), file.tests_from),
        (&[1, 3, 4][..], 6)
    );
    assert_eq!(
        (climbs(&file.code), file.module_depth(), file.room()),
        (vec![(8, 2)], 2, Some("immcu"))
    );
    assert_eq!(file.code.lines().count(), text.lines().count());
}
