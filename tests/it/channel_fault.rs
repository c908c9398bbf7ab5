//! A channel whose number or user is not what the provider knows.

use model::Family;

use crate::conversation::alarms;
use crate::settings::{COMPANY, Queues, USER};
use crate::world::{World, on_both_brokers};

on_both_brokers!(a_number_of_somebody_else_holds_its_channel_alone);

const CONSUMER: &str = "13125550142";

/// It is held with an alarm and goes out when the number is mended: no message is at fault, and nobody is told so.
async fn held_until_mended(world: &World, break_it: impl FnOnce(&World)) {
    break_it(world);
    let id = world.reply(CONSUMER, "held");
    let expected = [("channel-fault".to_owned(), "crexendo/sales-sms".to_owned())];
    world.until("the alarm", async |world| (alarms(&world.readyz().await.1) == expected).then_some(())).await;
    assert_eq!((world.netsapiens.sent_count(), world.receipts(&id)), (0, Vec::new()));
    world.netsapiens.give_number(COMPANY, USER);
    world.phones_show(1).await;
    world.receipts_told(1).await;
    assert_eq!(world.receipts(&id), [("Delivered".to_owned(), Vec::new())]);
    world.until("the end of the alarm", async |world| alarms(&world.readyz().await.1).is_empty().then_some(())).await;
}

async fn a_number_of_somebody_else_holds_its_channel_alone(queues: Queues) {
    let world = World::on(queues).await;
    let broken = held_until_mended(&world, |world| {
        world.netsapiens.give_number("13125550109", USER);
        world.netsapiens.give_number(COMPANY, "9999");
    });
    broken.await;
    let dead = world.house.broker.dead_letters(Family::Replies, 1).await.expect("dead letters can be read");
    assert!(dead.is_empty());
    world.end().await;
}

/// 404 on both routes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_is_not_there_holds_its_channel_alone() {
    let world = World::on(Queues::Embedded).await;
    held_until_mended(&world, |world| world.netsapiens.give_number(COMPANY, "9999")).await;
    world.end().await;
}
