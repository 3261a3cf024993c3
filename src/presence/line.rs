//! One line of text by a person, as names, notes and titles are: what makes one.

/// Whether it is 1 to `chars_max` characters without a control character, and without white space around it.
pub fn is_line(text: &str, chars_max: usize) -> bool {
    // Each character is at most four bytes: what is longer need not be counted.
    !text.is_empty()
        && text.len() <= 4 * chars_max
        && text.chars().count() <= chars_max
        && text.trim() == text
        && !text.contains(char::is_control)
}
