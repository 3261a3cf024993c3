//! What a play expects of a line: text, `*` for anything, `{name}` for something that is remembered.

use std::collections::BTreeMap;

/// What is remembered of a play: names and texts.
pub type Memory = BTreeMap<String, String>;

/// Whether `text` is as `pattern` says. A `{name}` that is remembered must stand there again; one that is not is remembered, and
/// is as short as may be and not empty.
pub fn matches(pattern: &str, text: &str, memory: &mut Memory) -> bool {
    let Some((before, name, after)) = next_hole(pattern) else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    if let Some(known) = memory.get(name).filter(|_| !name.is_empty()).cloned() {
        return rest
            .strip_prefix(&*known)
            .is_some_and(|rest| matches(after, rest, memory));
    }
    let least = usize::from(!name.is_empty());
    let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    for end in ends.filter(|end| *end >= least) {
        let mut guess = memory.clone();
        if !name.is_empty() {
            guess.insert(name.to_owned(), rest[..end].to_owned());
        }
        if matches(after, &rest[end..], &mut guess) {
            *memory = guess;
            return true;
        }
    }
    false
}

/// Puts what is remembered into `text`; the name that is not remembered is the error.
pub fn fill(text: &str, memory: &Memory) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, name, after)) = next_hole(rest) {
        filled.push_str(before);
        if name.is_empty() {
            filled.push('*');
        } else {
            filled.push_str(
                memory
                    .get(name)
                    .ok_or_else(|| format!("nothing is remembered as {{{name}}}"))?,
            );
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The text before the first hole, the hole's name (empty for `*`), the text after it.
fn next_hole(pattern: &str) -> Option<(&str, &str, &str)> {
    let star = pattern.find('*').map(|at| (at, "", at + 1));
    let named = pattern.match_indices('{').find_map(|(at, _)| {
        let end = at + 1 + pattern[at + 1..].find('}')?;
        let name = &pattern[at + 1..end];
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_name.then_some((at, name, end + 1))
    });
    let (at, name, end) = match (star, named) {
        (Some(star), Some(named)) => star.min(named),
        (star, named) => star.or(named)?,
    };
    Some((&pattern[..at], name, &pattern[end..]))
}

#[test]
fn patterns() {
    let check = |pattern: &str, text: &str, expected: Option<&[(&str, &str)]>| {
        let mut memory = Memory::from([("known".to_owned(), "K".to_owned())]);
        let matched = matches(pattern, text, &mut memory);
        memory.remove("known");
        let got = matched.then(|| {
            memory
                .iter()
                .map(|(name, text)| (&**name, &**text))
                .collect::<Vec<_>>()
        });
        assert_eq!(got.as_deref(), expected, "{pattern} on {text}");
    };
    check("a", "a", Some(&[]));
    check("a", "ab", None);
    check("*", "", Some(&[]));
    check("a*c*", "abbcd", Some(&[]));
    check(
        "<{uri}>;tag={tag}",
        "<sip:a>;tag=1",
        Some(&[("tag", "1"), ("uri", "sip:a")]),
    );
    check("{x}-{x}", "ab-ab", Some(&[("x", "ab")]));
    check("{x}-{x}", "ab-ac", None);
    check("{x}", "", None);
    check("{known}*", "Kx", Some(&[]));
    check("{known}", "x", None);
    check("{ {a b}", "{ {a b}", Some(&[]));
}
