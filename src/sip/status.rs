//! What a refusal says, and of whom.

/// Whether an endpoint's refusal says that the person does not want what it was asked for: that they are somewhere else, forbid
/// it, are busy, decline. Any other says what that one endpoint can't do, such as a codec (488, 606), a method or an extension,
/// or that it is set up for somebody else (404): another of theirs may ring still, and where none answers, nobody has.
pub fn speaks_of_person(status: u16) -> bool {
    match status {
        300..400 | 403 | 433 | 486 => true,
        600.. => status != 606,
        _ => false,
    }
}
