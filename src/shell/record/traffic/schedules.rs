//! Keys made ready: the schedules of those that this thread uses much. To make one takes as long as to seal a short message.
//!
//! A table of fixed size in which a key has one place, by its first bytes, which are as good as random; who comes later takes it.

use std::cell::RefCell;

use aws_lc_rs::aead::{Algorithm, LessSafeKey, UnboundKey};
use rustls::Error;
use smallvec::SmallVec;

/// Places; a schedule takes about 700 bytes, and a busy shard has a few thousand that are hot.
const PLACES: usize = 4_096;

thread_local! {
    /// One thread has a connection for as long as it is there, or passes it on whole, having forgotten its keys (`Traffic::leave`).
    static READY: RefCell<Vec<Option<Box<Ready>>>> = const { RefCell::new(Vec::new()) };
}

struct Ready {
    key: SmallVec<[u8; 32]>,
    schedule: LessSafeKey,
}

/// A key made ready, and not kept.
pub(super) fn make(algorithm: &'static Algorithm, key: &[u8]) -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(algorithm, key).map_err(|_| Error::EncryptError)?;
    Ok(LessSafeKey::new(key))
}

/// Hands `act` the key made ready, and keeps it for the next time. A key is of one algorithm only.
pub(super) fn with<T>(
    algorithm: &'static Algorithm,
    key: &[u8],
    act: impl FnOnce(&LessSafeKey) -> Result<T, Error>,
) -> Result<T, Error> {
    READY.with_borrow_mut(|ready| {
        if ready.is_empty() {
            ready.resize_with(PLACES, || None);
        }
        let Some(place) = ready.get_mut(place_of(key)) else {
            return act(&make(algorithm, key)?);
        };
        match place {
            Some(ready) if ready.key[..] == *key => act(&ready.schedule),
            _ => {
                let schedule = make(algorithm, key)?;
                let ready = place.insert(Box::new(Ready {
                    key: SmallVec::from_slice(key),
                    schedule,
                }));
                act(&ready.schedule)
            }
        }
    })
}

/// The key is not needed any more.
pub(super) fn forget(key: &[u8]) {
    // At the end of a thread the table may be gone before its connections.
    let _ = READY.try_with(|ready| {
        let Ok(mut ready) = ready.try_borrow_mut() else {
            return;
        };
        if let Some(place) = ready.get_mut(place_of(key))
            && place.as_ref().is_some_and(|ready| ready.key[..] == *key)
        {
            *place = None;
        }
    });
}

/// How many this thread has.
#[cfg(test)]
pub(in crate::shell::record) fn kept() -> usize {
    READY.with_borrow(|ready| ready.iter().flatten().count())
}

fn place_of(key: &[u8]) -> usize {
    match key {
        [a, b, ..] => usize::from(u16::from_le_bytes([*a, *b])) % PLACES,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_128_GCM, Aad, Nonce};

    use super::*;

    fn sealed(key: &[u8]) -> Vec<u8> {
        let mut text = b"text".to_vec();
        with(&AES_128_GCM, key, |ready| {
            let nonce = Nonce::assume_unique_for_key([7; 12]);
            let tag = ready.seal_in_place_separate_tag(nonce, Aad::empty(), &mut text);
            text.extend_from_slice(tag.expect("short").as_ref());
            Ok(())
        })
        .expect("a key of the right length");
        text
    }

    #[test]
    fn keys_that_share_a_place_take_turns_and_none_outlives_its_use() {
        let mut other = [1; 16];
        other[15] = 2;
        let (first, second) = (sealed(&[1; 16]), sealed(&other));
        assert_ne!(first, second);
        assert_eq!(kept(), 1);
        assert_eq!((sealed(&[1; 16]), sealed(&other)), (first, second));
        forget(&[1; 16]);
        assert_eq!(kept(), 1, "the place is another's");
        forget(&other);
        assert_eq!(kept(), 0);
        assert!(with(&AES_128_GCM, &[1; 5], |_| Ok(())).is_err());
    }
}
