//! Who may speak on a connection that moves between shards.

use crate::client::authorization;
use crate::overload::{Client, far_from};
use crate::world::World;
use muster::shard::Settings;

/// The answer to a wrong password for `name`.
fn guess(client: &mut Client, world: &mut World, name: &str) -> u16 {
    let contact = "Contact: <sip:eve@10.0.0.1:5060;transport=tls>\r\n";
    let asked = client.ask(world, "REGISTER", name, contact, "");
    let uri = format!("sip:{name}@example.com");
    let answer = authorization(&asked, "REGISTER", &uri, name, "wrong", 1).expect("a digest");
    let lines = format!("{contact}Authorization: {answer}\r\n");
    let answer = client.ask(world, "REGISTER", name, &lines, "");
    answer.status.unwrap_or(0)
}

/// Two users whom two shards own, the first shard first.
fn two() -> [String; 2] {
    let (one, other) = ("alice".to_owned(), far_from("alice"));
    let mut both = [one, other];
    let first = crate::overload::owner("alice");
    if first != 0 {
        both.reverse();
    }
    both
}

#[test]
fn guessing_is_counted_on_whichever_shards() {
    let mut world = World::new(2, 1, &Settings::default());
    let [near, far] = two();
    for name in [&near, &far] {
        world.add_user(&format!("{name}@example.com"), name, "secret");
    }
    let mut eve = Client::connect(&mut world, "eve");
    let answers = [&near, &near, &far, &far, &near].map(|name| guess(&mut eve, &mut world, name));
    assert_eq!(answers, [401, 401, 401, 401, 403]);

    // A right one ends the row.
    let mut carol = Client::connect(&mut world, &near);
    let answers = [&far, &near, &far, &far].map(|name| guess(&mut carol, &mut world, name));
    assert_eq!(answers, [401; 4]);
    assert_eq!(carol.register(&mut world), 200);
}

/// Where there is no room on the other shard the connection stays, and so does what was counted on it.
#[test]
fn guessing_is_counted_where_the_connection_stays() {
    let mut world = World::new(2, 1, &Settings::default());
    world.is_full = true;
    let [near, far] = two();
    let mut eve = Client::connect(&mut world, "eve");
    let answers =
        [&near, &near, &near, &far, &near, &near].map(|name| guess(&mut eve, &mut world, name));
    assert_eq!(answers, [401, 401, 401, 503, 401, 403]);
}
