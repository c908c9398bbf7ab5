//! The page of `causeway sandbox` in a real browser.

use serde_json::json;

use crate::town::causeway;
use crate::webdriver::{Browser, Program, Screen, artefacts};

/// The address in "  Open  http://127.0.0.1:40321/  and …"
fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("http://")?;
    line.trim_start()
        .starts_with("Open")
        .then(|| format!("http://{}", rest.split_whitespace().next().unwrap_or_default()))
}

async fn sandbox(log: &str) -> (Program, String) {
    Program::start(causeway().args(["sandbox", "--listen", "127.0.0.1:0"]), log, address).await
}

fn said(log: &str, text: &str) -> String {
    format!("//*[@id='{log}']//*[contains(., '{text}')]")
}

/// The agent's message with this text, in this state.
fn told(text: &str, receipt: &str) -> String {
    format!("//*[@id='agent-log']//*[@data-receipt='{receipt}'][contains(., '{text}')]")
}

impl Browser {
    async fn write(&self, field: &str, send: &str, text: &str) {
        self.wait_for(&format!("//*[@id='{field}']")).await.send_keys(text).await.expect("it takes keys");
        self.click(send).await;
    }

    async fn click(&self, id: &str) {
        self.wait_for(&format!("//*[@id='{id}']")).await.click().await.expect("it can be clicked");
    }

    async fn consumer(&self, text: &str) {
        self.write("consumer-text", "consumer-send", text).await;
    }

    async fn agent(&self, text: &str) {
        self.write("agent-text", "agent-send", text).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_seen_on_both_sides_and_on_its_way() {
    let (_sandbox, address) = sandbox("sandbox-conversation.log").await;
    let page = Browser::open("conversation", Screen::Desktop, &address).await;
    page.consumer("Is my parcel there?").await;
    page.wait_for(&said("agent-log", "Is my parcel there?")).await;
    page.agent("It is. Come by before six.").await;
    page.wait_for(&said("consumer-log", "It is. Come by before six.")).await;
    page.wait_for(&told("It is. Come by before six.", "Delivered")).await;
    page.wait_for("//*[@id='walk']//*[contains(., 'sent')]").await;
    page.screenshot("both-ways").await;

    // With the keyboard alone: Tab reaches the fields, Enter sends.
    page.wait_for("//*[@id='consumer-text']").await.click().await.expect("it can be clicked");
    page.press("Thanks!").await;
    page.press("\u{e007}").await;
    page.wait_for(&said("agent-log", "Thanks!")).await;
    let wide = page.ask("return document.documentElement.scrollWidth <= window.innerWidth").await;
    assert_eq!(wide, json!(true), "nothing is wider than the screen");
    page.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_switched_on_and_what_waited_arrives_when_they_are_off() {
    let (_sandbox, address) = sandbox("sandbox-faults.log").await;
    let page = Browser::open("faults", Screen::Dark, &address).await;
    page.click("fault-genesys-500").await;
    page.consumer("Hello?").await;
    page.wait_for("//*[@id='walk']//*[contains(., '500')]").await;
    page.screenshot("genesys-500").await;
    assert_eq!(page.count(&said("agent-log", "Hello?")).await, 0, "Genesys does not take it");
    page.click("fault-genesys-500").await;
    page.wait_for(&said("agent-log", "Hello?")).await;

    page.click("fault-provider-down").await;
    page.agent("One moment.").await;
    page.wait_for(&told("One moment.", "pending")).await;
    assert_eq!(page.count(&said("consumer-log", "One moment.")).await, 0, "nobody takes it");
    page.click("fault-provider-down").await;
    page.wait_for(&told("One moment.", "Delivered")).await;

    page.click("fault-duplicate-webhooks").await;
    page.agent("Only once.").await;
    page.wait_for(&told("Only once.", "Delivered")).await;
    let once = "//*[@id='consumer-log']//*[@data-testid='message'][contains(., 'Only once.')]";
    page.wait_for(once).await;
    assert_eq!(page.count(once).await, 1, "a webhook that comes three times is one text");
    page.click("fault-duplicate-webhooks").await;
    page.screenshot("over").await;
    page.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_fits_a_phone() {
    let (_sandbox, address) = sandbox("sandbox-phone.log").await;
    let page = Browser::open("phone", Screen::Phone, &address).await;
    page.consumer("From a small screen").await;
    page.screenshot("consumer").await;
    page.click("tab-walk").await;
    page.wait_for("//*[@id='walk']//*[contains(., 'sent')]").await;
    page.click("tab-desk").await;
    page.wait_for(&said("agent-log", "From a small screen")).await;
    page.agent("Seen").await;
    page.wait_for(&told("Seen", "Delivered")).await;
    let fits = page.ask("return document.documentElement.scrollWidth <= window.innerWidth").await;
    assert_eq!(fits, json!(true), "nothing is wider than the screen");
    page.screenshot("agent").await;
    page.close().await;
    assert!(artefacts().join("phone-agent.png").exists());
}

/// A picture of sixteen pixels by sixteen, as a file a person could choose.
fn picture(folder: &std::path::Path) -> String {
    let path = folder.join("door.png");
    std::fs::write(&path, crate::media::png(3000)).expect("the folder takes files");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_go_each_way_and_a_group_and_a_stop_are_seen() {
    let (_sandbox, address) = sandbox("sandbox-pictures.log").await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = picture(folder.path());
    let page = Browser::open("pictures", Screen::Desktop, &address).await;
    page.wait_for("//*[@id='consumer-picture']").await.send_keys(&file).await.expect("it takes a file");
    page.wait_for("//*[@id='agent-log']//a[contains(@href, '/media/')]").await;
    page.wait_for("//*[@id='agent-picture']").await.send_keys(&file).await.expect("it takes a file");
    page.wait_for(&said("consumer-log", "image/png, 3000 bytes")).await;
    let field = page.wait_for("//*[@id='consumer-text']").await;
    field.send_keys("Hello, all of you").await.expect("it takes keys");
    page.click("consumer-group").await;
    page.wait_for(&said("agent-log", "+13125550142: Hello, all of you")).await;
    page.screenshot("each-way").await;
    page.click("consumer-stop").await;
    page.wait_for(&said("consumer-log", "You have opted out")).await;
    page.agent("Are you there?").await;
    page.wait_for(&told("Are you there?", "Failed")).await;
    page.close().await;
}

impl Browser {
    /// Types into a field of the mail's form.
    async fn fill(&self, field: &str, text: &str) {
        self.wait_for(&format!("//*[@id='{field}']")).await.send_keys(text).await.expect("it takes keys");
    }

    async fn send_mail(&self, who: &str) {
        let button = format!("//*[@data-testid='{who}-mail-send']");
        self.wait_for(&button).await.click().await.expect("it can be clicked");
    }
}

/// A mail and its file reach the agent, the answer reaches the mailbox, and who answered is told when it is returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_is_answered_and_the_answer_is_returned() {
    let (_sandbox, address) = sandbox("sandbox-mail.log").await;
    let folder = tempfile::tempdir().expect("a folder");
    let page = Browser::open("mail", Screen::Desktop, &address).await;
    page.click("mode-mail").await;
    page.fill("consumer-mail-subject", "My parcel").await;
    page.fill("consumer-mail-text", "Is it there? See the slip.").await;
    page.fill("consumer-mail-files", &picture(folder.path())).await;
    page.send_mail("consumer").await;
    let arrived =
        "//*[@id='agent-mails']/li[contains(., 'My parcel')][contains(., 'See the slip.')][contains(., 'door.png')]";
    page.wait_for(arrived).await;
    page.fill("agent-mail-subject", "Re: My parcel").await;
    page.fill("agent-mail-text", "Come by before six.").await;
    page.send_mail("agent").await;
    let answer = "//*[@id='consumer-mails']/li[contains(., 'Re: My parcel')][contains(., 'Come by before six.')]";
    page.wait_for(answer).await;
    let told =
        |receipt: &str| format!("//*[@id='agent-mails']/li[@data-receipt='{receipt}'][contains(., 'before six')]");
    page.wait_for(&told("Delivered")).await;
    page.screenshot("answered").await;
    let give_back = format!("{answer}//*[@data-testid='return']");
    page.wait_for(&give_back).await.click().await.expect("it can be clicked");
    page.wait_for(&told("Failed")).await;
    page.wait_for(&format!("{answer}[contains(., 'returned to its sender')]")).await;
    page.close().await;
}
