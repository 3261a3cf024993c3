//! Who has whom among the contacts: communities, a power law of popularity, a few celebrities.
//!
//! Nothing is stored of an edge: each answer is computed from the seed, so a million users cost only the table of
//! communities (four bytes for each of them). The same seed gives the same graph.

use super::model::Model;

/// A mixing function (splitmix64): no cryptography is needed, only that neighbours look unlike.
pub fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number that only these three give.
pub fn hash(seed: u64, what: u64, which: u64) -> u64 {
    mix(mix(mix(seed) ^ what) ^ which)
}

/// From a hash to 0..1.
pub fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

/// From a hash to 0..bound; 0 where `bound` is.
pub fn below(hash: u64, bound: u32) -> u32 {
    ((u128::from(hash) * u128::from(bound)) >> 64) as u32
}

/// All numbers below `count` in an order that looks like chance, both ways: i -> (a i + b) mod count.
#[derive(Clone, Copy, Debug)]
pub struct Shuffle {
    count: u64,
    factor: u64,
    inverse: u64,
    shift: u64,
}

impl Shuffle {
    pub fn new(seed: u64, count: u32) -> Shuffle {
        let count = u64::from(count.max(1));
        let (factor, inverse) = (0..)
            .map(|attempt| hash(seed, 1, attempt) % count)
            .find_map(|factor| Some((factor, inverse(factor, count)?)))
            .unwrap_or((1, 1));
        Shuffle {
            count,
            factor,
            inverse,
            shift: hash(seed, 2, 0) % count,
        }
    }

    /// What stands at `place`.
    pub fn at(&self, place: u32) -> u32 {
        ((self.factor * u64::from(place) + self.shift) % self.count) as u32
    }

    /// Where `value` stands.
    pub fn place_of(&self, value: u32) -> u32 {
        let moved = (u64::from(value) + self.count - self.shift) % self.count;
        (moved * self.inverse % self.count) as u32
    }
}

/// `value`⁻¹ mod `count`, if there is one.
fn inverse(value: u64, count: u64) -> Option<u64> {
    let (mut old, mut new) = ((value as i64, 1i64), (count as i64, 0i64));
    while new.0 != 0 {
        let quotient = old.0 / new.0;
        (old, new) = (new, (old.0 - quotient * new.0, old.1 - quotient * new.1));
    }
    (old.0 == 1).then(|| old.1.rem_euclid(count as i64) as u64)
}

/// The contact graph of a run.
#[derive(Clone, Debug)]
pub struct Graph {
    seed: u64,
    users: u32,
    contacts: (u32, u32, f64),
    inside: f64,
    popularity_exponent: f64,
    celebrities: u32,
    celebrity_watchers: f64,
    /// Where each community begins, and at last `users`.
    communities: Vec<u32>,
    /// From popularity rank to user.
    ranks: Shuffle,
}

impl Graph {
    pub fn new(model: &Model, users: u32, seed: u64) -> Graph {
        let graph = &model.graph;
        let mut communities = vec![0];
        let mut end = 0u32;
        while end < users {
            let uniform = unit(hash(seed, 3, u64::from(end)));
            let size = power(
                uniform,
                graph.community_min,
                graph.community_max,
                graph.community_exponent,
            );
            // A rest that is too small for a community joins the last one.
            let left = users - end;
            end = if left < size + graph.community_min {
                users
            } else {
                end + size
            };
            communities.push(end);
        }
        Graph {
            seed,
            users,
            contacts: (
                model.users.contacts_min,
                model.users.contacts_max,
                model.users.contacts_exponent,
            ),
            inside: graph.inside,
            popularity_exponent: graph.popularity_exponent,
            celebrities: graph.celebrities.min(users / 10),
            celebrity_watchers: graph.celebrity_watchers,
            communities,
            ranks: Shuffle::new(hash(seed, 4, 0), users),
        }
    }

    /// The contacts of `user`, each once, never the user: celebrities first.
    pub fn contacts(&self, user: u32) -> Vec<u32> {
        let (least, most, exponent) = self.contacts;
        let salt = hash(self.seed, 5, u64::from(user));
        let wanted =
            power(unit(salt), least, most, exponent).min(self.users.saturating_sub(1)) as usize;
        let mut contacts: Vec<u32> = (0..self.celebrities)
            .filter(|rank| unit(hash(salt, 6, u64::from(*rank))) < self.celebrity_watchers)
            .map(|rank| self.ranks.at(rank))
            .filter(|celebrity| *celebrity != user)
            .take(wanted)
            .collect();
        let community = self.community(user);
        let size = community.end - community.start;
        // Bounded: a small community is soon used up, and then some contacts are fewer.
        for turn in 0..wanted as u64 * 8 {
            if contacts.len() >= wanted {
                break;
            }
            let choice = hash(salt, 7, turn);
            let candidate = if unit(hash(salt, 8, turn)) < self.inside && size > 1 {
                // Squared: some of a community are better known in it than others.
                let place = unit(choice) * unit(choice);
                community.start + ((place * f64::from(size)) as u32).min(size - 1)
            } else {
                self.popular(choice)
            };
            if candidate != user && !contacts.contains(&candidate) {
                contacts.push(candidate);
            }
        }
        contacts
    }

    /// Somebody, the popular ones more often; celebrities are not sought this way.
    pub fn popular(&self, choice: u64) -> u32 {
        let others = f64::from(self.users - self.celebrities);
        // The inverse of the sum of r^-x up to r, as a share of the whole.
        let rank = unit(choice).powf(1.0 / (1.0 - self.popularity_exponent)) * others;
        self.ranks
            .at(self.celebrities + (rank as u32).min(self.users - self.celebrities - 1))
    }

    /// Anybody but `user`; `user` only where there is nobody else.
    pub fn somebody_else(&self, user: u32, choice: u64) -> u32 {
        let popular = self.popular(choice);
        if popular == user {
            (user + 1) % self.users
        } else {
            popular
        }
    }

    /// One of the contacts of `user`; somebody else where there are none.
    pub fn one_contact(&self, user: u32, choice: u64) -> u32 {
        let contacts = self.contacts(user);
        contacts
            .get(below(choice, contacts.len() as u32) as usize)
            .copied()
            .unwrap_or_else(|| self.somebody_else(user, choice))
    }

    fn community(&self, user: u32) -> std::ops::Range<u32> {
        let after = self.communities.partition_point(|start| *start <= user);
        let at = |index: usize| self.communities.get(index).copied().unwrap_or(self.users);
        at(after.saturating_sub(1))..at(after)
    }
}

/// A size between `least` and `most` by a power law: `uniform` 0 gives the least.
fn power(uniform: f64, least: u32, most: u32, exponent: f64) -> u32 {
    let (least, most, slope) = (
        f64::from(least.max(1)),
        f64::from(most.max(1)) + 1.0,
        1.0 - exponent,
    );
    let (from, to) = (least.powf(slope), most.powf(slope));
    ((from + uniform * (to - from)).powf(1.0 / slope) as u32).clamp(least as u32, most as u32 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(users: u32, seed: u64) -> Graph {
        Graph::new(&Model::read("").unwrap(), users, seed)
    }

    #[test]
    fn a_shuffle_has_each_number_once_and_leads_back() {
        for count in [1, 2, 7, 1000, 1024] {
            let shuffle = Shuffle::new(9, count);
            let mut seen = vec![false; count as usize];
            for place in 0..count {
                let value = shuffle.at(place);
                assert_eq!(shuffle.place_of(value), place);
                assert!(!std::mem::replace(&mut seen[value as usize], true));
            }
        }
    }

    #[test]
    fn contacts_are_the_same_for_the_same_seed_and_each_once() {
        let (one, two, other) = (graph(5000, 1), graph(5000, 1), graph(5000, 2));
        for user in 0..200 {
            let contacts = one.contacts(user);
            assert!((40..=80).contains(&contacts.len()), "{}", contacts.len());
            assert_eq!(contacts, two.contacts(user));
            let mut sorted = contacts.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert!(sorted.len() == contacts.len() && !contacts.contains(&user));
        }
        assert_ne!(one.contacts(7), other.contacts(7));
    }

    /// The "a few celebrities with tens of thousands of watchers": at 100,000 users 3,000 each.
    #[test]
    fn few_are_watched_by_very_many_and_most_by_some() {
        let graph = graph(100_000, 3);
        let mut watchers = vec![0u32; 100_000];
        let mut edges = 0u64;
        for user in 0..100_000 {
            for contact in graph.contacts(user) {
                watchers[contact as usize] += 1;
                edges += 1;
            }
        }
        let mean = edges as f64 / 1e5;
        assert!((45.0..60.0).contains(&mean), "{mean}");
        watchers.sort_unstable();
        assert!(
            watchers[99_995..]
                .iter()
                .all(|count| (2_500..3_600).contains(count)),
            "{:?}",
            &watchers[99_990..]
        );
        // Below the celebrities the law goes on, and the median is watched by its community.
        assert!(
            watchers[99_994] > 150 && watchers[99_994] < 2_500,
            "{}",
            watchers[99_994]
        );
        assert!((20..60).contains(&watchers[50_000]), "{}", watchers[50_000]);
    }

    #[test]
    fn most_contacts_are_of_ones_community() {
        let graph = graph(20_000, 4);
        let (mut inside, mut all) = (0, 0);
        for user in (0..20_000).step_by(50) {
            let community = graph.community(user);
            assert!(community.contains(&user));
            let contacts = graph.contacts(user);
            inside += contacts
                .iter()
                .filter(|contact| community.contains(contact))
                .count();
            all += contacts.len();
        }
        let share = inside as f64 / all as f64;
        assert!((0.5..0.85).contains(&share), "{share}");
    }

    #[test]
    fn a_handful_of_users_know_one_another() {
        for users in 1..6 {
            let graph = graph(users, 5);
            for user in 0..users {
                assert!(graph.contacts(user).len() < users as usize);
                let other = graph.one_contact(user, 99);
                assert!(other < users && (other != user || users == 1));
            }
        }
    }
}
