//! Up to where a gap goes, when a snapshot is whole, and that readers push out nothing.

use std::collections::BTreeSet;
use std::iter;

use tidings::{Error, Hub, Id, Limits, Message, Subscription};

fn hub(change: impl FnOnce(&mut Limits)) -> Hub {
    let mut limits = Limits::DEFAULT;
    change(&mut limits);
    Hub::new(&limits)
}

/// What a reader gets in each batch, and up to where each says that messages may be missing.
fn batches(news: &mut Subscription) -> Vec<(Vec<Id>, Option<Id>)> {
    let batches = iter::from_fn(|| news.try_next());
    batches.map(|batch| (batch.messages.iter().map(|message| message.id()).collect(), batch.gap)).collect()
}

#[test]
fn all_that_is_missing_is_at_most_where_the_gap_goes() {
    let hub = hub(|limits| limits.history = 2);
    let start = hub.last();
    let mut ids = vec![hub.publish("quiet", "1").expect("room")];
    ids.extend((2..=5).map(|n| hub.publish("busy", n.to_string()).expect("room")));
    let mut reader = hub.subscribe(&["quiet", "busy"], Some(start)).expect("they are there");
    // The hole is behind the first that is shown.
    assert_eq!(batches(&mut reader), [(vec![ids[0], ids[3], ids[4]], Some(ids[2]))]);
}

#[test]
fn a_hole_in_a_later_batch_is_where_the_gap_went() {
    let hub = hub(|limits| (limits.history, limits.history_bytes) = (10, 1 << 20));
    let start = hub.last();
    let mut ids: Vec<Id> = (0..10).map(|_| hub.publish("quiet", "x".repeat(1_000)).expect("room")).collect();
    ids.extend((0..20).map(|n| hub.publish("busy", n.to_string()).expect("room")));
    let mut reader = hub.subscribe(&["quiet", "busy"], Some(start)).expect("they are there");
    let batches = batches(&mut reader);
    assert!(batches.len() > 1 && batches[1..].iter().all(|(_, gap)| gap.is_none()), "it is told once");
    let until = batches[0].1.expect("a gap");
    let got: BTreeSet<Id> = batches.into_iter().flat_map(|(ids, _)| ids).collect();
    let missing: Vec<Id> = ids.into_iter().filter(|id| !got.contains(id)).collect();
    assert_eq!((missing.len(), missing.last()), (10, Some(&until)));
}

#[test]
fn what_leaves_while_one_reads_is_told_anew() {
    let hub = hub(|limits| (limits.history, limits.history_bytes) = (10, 1 << 20));
    let start = hub.last();
    let ids: Vec<Id> = (0..12).map(|_| hub.publish("news", "x".repeat(1_000)).expect("room")).collect();
    let mut reader = hub.subscribe(&["news"], Some(start)).expect("it is there");
    let first = reader.try_next().expect("a part");
    assert_eq!(first.gap, Some(ids[1]));
    (0..9).for_each(|_| drop(hub.publish("news", "x".repeat(1_000))));
    assert_eq!(reader.try_next().expect("the rest").gap, Some(ids[10]));
}

#[test]
fn for_a_cursor_of_another_log_the_gap_goes_to_where_this_one_began() {
    let hub = hub(|_| ());
    let start = hub.last();
    for cursor in [Id::new(3, 3), Id::MAX, Id::new(start.epoch(), 99)] {
        let mut reader = hub.subscribe(&["news"], Some(cursor)).expect("room");
        assert_eq!(batches(&mut reader), [(vec![], Some(start))]);
        let mut brief = hub.read(&["other"], Some(cursor)).expect("it can be read");
        assert_eq!(batches(&mut brief), [(vec![], Some(start))]);
    }
}

#[test]
fn a_snapshot_from_which_values_have_left_says_so() {
    let hub = hub(|limits| (limits.history, limits.topics) = (8, 2));
    let publish = |key: usize| hub.send(Message::new("devices", "on").key(&key.to_string())).expect("room");
    let ids: Vec<Id> = (0..20).map(publish).collect();
    let snapshot = || {
        let mut reader = hub.read(&["devices"], Some(Id::EARLIEST)).expect("it can be read");
        batches(&mut reader)
    };
    assert_eq!(snapshot(), [(ids[12..].to_vec(), Some(ids[11]))]);
    // All keys that have left are published again, until there are no more than are kept: it is whole.
    for key in 0..12 {
        hub.remove("devices", &key.to_string()).expect("room");
    }
    let ids: Vec<Id> = (12..20).map(publish).collect();
    assert_eq!(snapshot(), [(ids, None)]);
}

#[test]
fn a_snapshot_is_whole_when_each_key_was_published_again() {
    let hub = hub(|limits| limits.history_bytes = 8_000);
    let publish = |key: usize| hub.send(Message::new("devices", "on").key(&key.to_string())).expect("room");
    let _ids: Vec<Id> = (0..10).map(publish).collect();
    // Another topic pushes the older ones out, and its messages leave when the values come again.
    (0..4).for_each(|_| drop(hub.publish("other", "x".repeat(800))));
    let gap =
        || hub.read(&["devices"], Some(Id::EARLIEST)).expect("it is there").try_next().expect("values").gap;
    assert!(gap().is_some());
    let _ids: Vec<Id> = (0..10).map(publish).collect();
    assert_eq!((gap(), hub.topic("devices").expect("it is there").messages), (None, 10));
}

#[test]
fn a_snapshot_of_a_plain_feed_has_no_gap() {
    let hub = hub(|limits| (limits.history, limits.topics) = (2, 2));
    (0..5).for_each(|n| drop(hub.publish("news", n.to_string())));
    (0..5).for_each(|n| drop(hub.send(Message::new("devices", "on").key(&n.to_string()))));
    let gap = |name: &str| {
        let batch = hub.read(&[name], Some(Id::EARLIEST)).expect("it can be read").try_next();
        batch.and_then(|batch| batch.gap)
    };
    assert_eq!((gap("news"), gap("devices").is_some(), gap("never")), (None, true, None));
}

#[test]
fn a_topic_that_was_forgotten_still_lacks_its_values() {
    for known in [100, 0] {
        let hub = hub(|limits| (limits.topics, limits.forgotten) = (1, known));
        (0..5).for_each(|n| drop(hub.send(Message::new("devices", "on").key(&n.to_string()))));
        let last = hub.last();
        let feed = hub.publish("news", "the place of the devices").expect("a place");
        let snapshot = |name: &str| {
            let batch = hub.read(&[name], Some(Id::EARLIEST)).expect("it can be read").try_next();
            batch.and_then(|batch| batch.gap)
        };
        assert_eq!((snapshot("devices"), snapshot("news")), (Some(last), None), "{known}");
        hub.send(Message::new("devices", "on").key("0")).expect("the place of the news");
        // With nothing known of it, it may have lost as much as the last that was forgotten.
        assert_eq!(snapshot("devices"), Some(if known > 0 { last } else { feed }), "{known}");
    }
}

#[test]
fn a_removal_is_shown_to_those_who_may_have_the_value() {
    let hub = hub(|limits| limits.history = 4);
    let value = |key: &str| hub.send(Message::new("t", "v").key(key)).expect("room");
    let start = hub.last();
    let first = value("a");
    value("b");
    let removal = hub.remove("t", "a").expect("room");
    let ids = |after| {
        let mut reader = hub.subscribe(&["t"], Some(after)).expect("it is there");
        batches(&mut reader).into_iter().flat_map(|(ids, _)| ids).collect::<Vec<_>>()
    };
    assert_eq!((ids(first).contains(&removal), ids(Id::EARLIEST).contains(&removal)), (true, false));
    // Who begins with all that is kept sees what is removed later.
    let mut reader = hub.subscribe(&["t"], Some(Id::EARLIEST)).expect("it is there");
    let later = hub.remove("t", "b").expect("room");
    assert_eq!(batches(&mut reader), [(vec![later], None)]);
    // A later value replaces it.
    let again = value("a");
    assert_eq!(ids(start), [later, again]);
    // Removals leave before values, and unread they are a gap.
    let mut kept = vec![again];
    kept.extend((0..3).map(|n| value(&n.to_string())));
    let mut reader = hub.subscribe(&["t"], Some(start)).expect("it is there");
    assert_eq!(batches(&mut reader), [(kept, Some(later))]);
    assert!(hub.latest("t", "b").is_none() && hub.latest("t", "a").is_some());
}

#[test]
fn readers_push_out_nothing() {
    let hub = hub(|limits| limits.history_bytes = 1 << 20);
    for room in 0..200 {
        hub.publish(&format!("room{room}"), "kept").expect("room");
    }
    for name in 0..1_000 {
        let mut brief = hub.read(&[&format!("nobody{name}")], Some(Id::EARLIEST)).expect("it can be read");
        assert!(brief.try_next().is_none() && smol::block_on(brief.next()).is_none());
    }
    assert_eq!(hub.stats().topics, 200, "who polls takes no place");
    let held = |n: usize| hub.subscribe(&[&format!("held{n}")], None);
    let many: Vec<Subscription> = (0..56).map(|n| held(n).expect("a place is free")).collect();
    assert!(matches!(held(56), Err(Error::Full)));
    assert_eq!((hub.stats().messages, hub.stats().topics), (200, 256));
    drop(many);
    assert_eq!(hub.stats().topics, 200);
}

#[test]
fn a_subscription_has_no_more_topics_than_it_may() {
    let hub = hub(|limits| limits.subscription = 2);
    assert!(hub.subscribe(&["a", "b", "a", "b"], None).is_ok(), "repeated ones count once");
    assert!(matches!(hub.subscribe(&["a", "b", "c"], None), Err(Error::Misuse(_))));
    assert!(matches!(hub.read(&["a", "b", "c"], None), Err(Error::Misuse(_))));
    assert!(matches!(hub.follow(&[], None), Err(Error::Misuse(_))));
    assert_eq!((hub.stats().topics, hub.stats().readers), (0, 0));
}

#[test]
fn names_and_messages_are_as_long_as_they_may_be() {
    let hub = hub(|limits| (limits.name, limits.published) = (8, 100));
    let too_large = |result: tidings::Result<Id>| matches!(result, Err(Error::TooLarge));
    assert!(hub.publish("12345678", "x".repeat(92)).is_ok());
    assert!(too_large(hub.publish("12345678", "x".repeat(93))));
    assert!(too_large(hub.publish("123456789", "x")));
    assert!(too_large(hub.send(Message::new("t", "x").key("123456789"))));
    assert!(too_large(hub.remove("t", "123456789")));
    assert!(too_large(hub.send(Message::end("t", "123456789"))));
    assert!(matches!(hub.begin("123456789"), Err(Error::TooLarge)));
    assert!(matches!(hub.subscribe(&["123456789"], None), Err(Error::TooLarge)));
    assert!(hub.read(&["123456789"], None).is_ok());
    assert_eq!(hub.stats().topics, 1);
}

#[test]
fn a_message_is_no_larger_than_the_history() {
    let hub = hub(|limits| (limits.history_bytes, limits.published) = (1_000, 16_000));
    assert!(matches!(hub.publish("news", "x".repeat(1_000)), Err(Error::TooLarge)));
    assert!(hub.publish("news", "x".repeat(900)).is_ok());
}

#[test]
fn hubs_that_begin_together_have_epochs_of_their_own() {
    let epochs: BTreeSet<u64> = (0..2_000).map(|_| Hub::new(&Limits::DEFAULT).last().epoch()).collect();
    // In one millisecond two of a thousand meet once in two tries.
    assert!(epochs.len() > 1_980, "{}", epochs.len());
}

#[test]
fn the_last_few_are_behind_a_cursor() {
    let hub = hub(|_| ());
    let ids: Vec<Id> = (0..5).map(|n| hub.publish("log", n.to_string()).expect("room")).collect();
    assert_eq!((hub.before_last("log", 2), hub.before_last("log", 0)), (ids[2], ids[4]));
    assert_eq!((hub.before_last("log", 5), hub.before_last("other", 2)), (Id::EARLIEST, Id::EARLIEST));
}
