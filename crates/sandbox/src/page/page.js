"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const wide = matchMedia("(min-width: 1020px)");
  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  // Screen readers announce every change, so nothing is written that is there already.
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  /* Numbers and times as people read them. */
  const number = (digits) => {
    const parts = /^1(\d{3})(\d{3})(\d{4})$/.exec(digits);
    return parts ? `+1 ${parts[1]} ${parts[2]} ${parts[3]}` : digits;
  };
  const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const since = (first, at) => {
    const passed = new Date(at) - new Date(first);
    if (!(passed >= 1)) return "";
    return passed < 1000 ? `+${passed} ms` : `+${(passed / 1000).toFixed(passed < 10000 ? 1 : 0)} s`;
  };

  /* Conversations. */
  const logs = {
    phone: { list: byId("consumer-log"), known: new Map() },
    desk: { list: byId("agent-log"), known: new Map() },
    mailbox: { list: byId("consumer-mails"), known: new Map(), tab: "phone" },
    answers: { list: byId("agent-mails"), known: new Map(), tab: "desk" },
  };
  const stateOf = (message) => {
    if (message.receipt === "Delivered") return "Delivered";
    if (message.receipt === "Failed") {
      const reason = message.reason;
      return reason ? `Failed · ${reason.code}${reason.text ? " " + reason.text : ""}` : "Failed";
    }
    if (message.receipt !== "pending") return message.receipt;
    if (message.webhook === "accepted") return "Accepted, on its way";
    return message.webhook === "sending" ? "Sending…" : `Webhook ${message.webhook}`;
  };
  const showMessage = (item, message) => {
    if (message.note !== undefined) {
      write(item.querySelector(".state"), message.note);
      const back = item.querySelector(".return");
      if (back) back.hidden = !message.bounces;
    }
    if (!message.webhook) return;
    item.dataset.receipt = message.receipt;
    const sending = message.webhook === "sending" || message.webhook === "accepted";
    item.dataset.webhook = sending ? message.webhook : "lost";
    write(item.querySelector(".state"), stateOf(message));
    write(item.querySelector(".posts"), message.posts > 1 ? `webhook posted ${message.posts} times` : "");
  };
  const newMessage = (message) => {
    const item = make("li", message.mine ? "mine" : "");
    item.dataset.id = message.id;
    item.dataset.testid = "message";
    const bubble = make("div", "bubble");
    // What is hosted by this bridge can be opened; nothing else of a text becomes a link.
    for (const part of message.text.split(/(http:\/\/127\.0\.0\.1:\d+\/media\/[\w-]+)/)) {
      if (!part.startsWith("http://127.0.0.1:")) { bubble.append(part); continue; }
      const link = make("a", "", part);
      [link.href, link.target, link.rel] = [part, "_blank", "noopener noreferrer"];
      bubble.append(link);
    }
    if (message.subject) bubble.prepend(make("b", "", message.subject));
    if ((message.files || []).length) bubble.append(make("span", "files", `Attached: ${message.files.join(", ")}`));
    item.append(bubble);
    const meta = make("div", "meta");
    meta.append(make("time", "", clock(message.at)));
    if (message.note !== undefined) meta.append(make("span", "state"));
    if (message.bounces !== undefined) {
      const back = make("button", "return", "Return it");
      back.type = "button";
      back.dataset.testid = "return";
      back.addEventListener("click", () => post("mail/bounce", { id: message.id }));
      meta.append(back);
    }
    if (message.webhook) meta.append(make("span", "posts"), make("span", "state"));
    item.append(meta);
    return item;
  };
  const showLog = (name, messages) => {
    const { list, known } = logs[name];
    const low = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    const present = new Set();
    let grew = false;
    messages.forEach((message, place) => {
      // Two rows may have one id where a duplicate got through; each is shown.
      let key = message.id;
      for (let again = 2; present.has(key); again += 1) key = `${message.id} ${again}`;
      present.add(key);
      let item = known.get(key);
      if (!item) {
        item = newMessage(message);
        known.set(key, item);
        grew = true;
      }
      showMessage(item, message);
      if (list.children[place] !== item) list.insertBefore(item, list.children[place] || null);
    });
    for (const [key, item] of known) {
      if (!present.has(key)) { item.remove(); known.delete(key); }
    }
    if (grew && low) list.scrollTop = list.scrollHeight;
    if (grew) mark(logs[name].tab || name);
  };

  /* Queues. */
  const FAMILIES = ["inbound", "replies", "receipts"];
  const seenLines = { inbound: 0, replies: 0, receipts: 0 };
  const showLanes = (walk) => {
    for (const family of FAMILIES) {
      const lane = document.querySelector(`.lane[data-family="${family}"]`);
      let ready = 0;
      let inHand = 0;
      for (const queue of walk.queues || []) {
        if (queue.queue.split(".")[1] !== family) continue;
        ready += queue.ready;
        inHand += queue.in_hand || 0;
      }
      const words = [];
      if (ready) words.push(`${ready} waiting`);
      if (inHand) words.push(`${inHand} in hand`);
      write(lane.querySelector("em"), words.join(" · ") || "empty");
      lane.classList.toggle("busy", ready + inHand > 0);
      const lines = (walk.lines || []).filter((line) => line.family === family).length;
      if (lines > seenLines[family] && !quiet) move(lane);
      seenLines[family] = lines;
    }
  };
  const move = (lane) => {
    lane.classList.remove("moving");
    // Reading a measure lets the animation begin anew.
    void lane.offsetWidth;
    lane.classList.add("moving");
  };
  const showNotices = (walk) => {
    const notices = [];
    if (walk.error) notices.push(["bad", "bridge", walk.error]);
    const health = walk.health || {};
    for (const alarm of health.alarms || []) notices.push(["bad", `${alarm.alarm} · ${alarm.target}`, alarm.detail]);
    for (const component of health.components || []) {
      if (!component.ready) notices.push(["", `${component.role} · ${component.name}`, component.detail || "not ready"]);
    }
    for (const queue of walk.queues || []) {
      if (queue.queue.split(".")[1] === "dead" && queue.ready) notices.push(["bad", queue.queue, `${queue.ready} dead-lettered`]);
    }
    const list = byId("notices");
    const now = JSON.stringify(notices);
    if (list.dataset.now === now) return;
    list.dataset.now = now;
    list.replaceChildren(...notices.map(([kind, head, text]) => {
      const item = make("li", kind);
      item.append(make("b", "", `${head}: `), document.createTextNode(text));
      return item;
    }));
  };

  /* Timelines: one card for a message and its receipt. */
  const KIND = { sent: "good", receipt: "good", released: "wait", interrupted: "wait", looked: "wait", failed: "bad", dead: "bad" };
  const SHOWN_FIRST = 2;
  const SHOWN_LAST = 7;
  const cards = new Map();
  const showTimeline = (view) => {
    const texts = new Map();
    for (const message of [...view.phone, ...view.desk, ...view.mail.phone, ...view.mail.desk]) if (message.id) texts.set(message.id, message.text);
    const groups = new Map();
    for (const line of view.walk.lines || []) {
      const key = line.foreign_id || line.id;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(line);
    }
    const time = (line) => Date.parse(line.at);
    for (const lines of groups.values()) lines.sort((a, b) => time(a) - time(b));
    const sorted = [...groups].sort((a, b) => time(b[1][0]) - time(a[1][0])).slice(0, 60);
    const list = byId("timeline");
    const present = new Set(sorted.map(([key]) => key));
    sorted.forEach(([key, lines], place) => {
      const text = texts.get(key) || texts.get(lines[0].id) || "";
      const now = `${lines.length} ${lines[lines.length - 1].at} ${text}`;
      let card = cards.get(key);
      if (!card) {
        card = make("li");
        card.dataset.testid = "timeline-message";
        cards.set(key, card);
      }
      if (card.dataset.now !== now) {
        card.dataset.now = now;
        card.replaceChildren(...tell(key, lines, text));
      }
      if (list.children[place] !== card) list.insertBefore(card, list.children[place] || null);
    });
    for (const [key, card] of cards) {
      if (!present.has(key)) { card.remove(); cards.delete(key); }
    }
  };
  const tell = (key, lines, text) => {
    const way = make("div", "way");
    const inbound = lines.every((line) => line.family === "inbound");
    way.append(make("strong", "", inbound ? "Consumer → agent" : "Agent → consumer"), make("span", "", text));
    const code = make("code", "", key.length > 14 ? `…${key.slice(-12)}` : key);
    code.title = `id ${key}, trace ${lines[0].trace || "none"}`;
    way.append(code);
    const steps = make("ol", "steps");
    const hidden = lines.length - SHOWN_FIRST - SHOWN_LAST;
    lines.forEach((line, place) => {
      if (hidden > 1 && place === SHOWN_FIRST) steps.append(make("li", "more", `${hidden} more steps`));
      if (hidden > 1 && place >= SHOWN_FIRST && place < SHOWN_FIRST + hidden) return;
      const badNews = line.what === "receipt" && /failed/i.test(line.detail);
      const step = make("li", badNews ? "bad" : KIND[line.what] || "");
      step.dataset.what = line.what;
      const head = line.family === "receipts" && !line.what.startsWith("receipt") ? `receipt ${line.what}` : line.what;
      step.append(make("b", "", head.replace("-", " ")), make("span", "", line.detail || ""), make("time", "", since(lines[0].at, line.at)));
      steps.append(step);
    });
    return [way, steps];
  };

  /* Faults. */
  const switches = [...document.querySelectorAll("[data-fault]")];
  const pending = new Set();
  const showFaults = (faults) => {
    for (const input of switches) {
      if (!pending.has(input)) input.checked = Boolean(faults[input.dataset.fault]);
    }
  };
  for (const input of switches) {
    input.addEventListener("change", async () => {
      pending.add(input);
      await post("fault", { name: input.dataset.fault, on: input.checked });
      // A view from before the switch may still be on its way.
      setTimeout(() => pending.delete(input), 500);
    });
  }

  /* Saying something. */
  let troubleEnds;
  const trouble = (text) => {
    const note = byId("trouble");
    note.textContent = text;
    note.hidden = false;
    clearTimeout(troubleEnds);
    troubleEnds = setTimeout(() => { note.hidden = true; }, 6000);
  };
  const post = async (path, body) => {
    try {
      const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
      if (answer.ok) return true;
      const told = await answer.json().catch(() => ({}));
      trouble(told.detail || `The sandbox answered ${answer.status}.`);
    } catch {
      trouble("The sandbox does not answer. Is it still running?");
    }
    return false;
  };
  for (const who of ["consumer", "agent"]) {
    const box = byId(`${who}-text`);
    const fit = () => {
      box.style.height = "auto";
      box.style.height = `${box.scrollHeight + 2}px`;
    };
    box.addEventListener("input", fit);
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      byId(`${who}-form`).requestSubmit();
    });
    byId(`${who}-form`).addEventListener("submit", async (event) => {
      event.preventDefault();
      const text = box.value;
      box.focus();
      if (!text.trim()) return;
      // The next message may be typed while this one is on its way.
      box.value = "";
      fit();
      if (!(await post(who, { text })) && !box.value) {
        box.value = text;
        fit();
      }
    });
  }

  /* Mail. */
  const base64 = (file) => new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1] || "");
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
  const MOST = 1000000;
  for (const who of ["consumer", "agent"]) {
    byId(`${who}-mail-form`).addEventListener("submit", async (event) => {
      event.preventDefault();
      const [subject, text, input] = ["subject", "text", "files"].map((part) => byId(`${who}-mail-${part}`));
      if (!text.value.trim()) return;
      const chosen = input ? [...input.files] : [];
      if (chosen.reduce((sum, file) => sum + file.size, 0) > MOST) {
        trouble("Files of this page may have 1 MB together.");
        return;
      }
      const files = await Promise.all(chosen.map(async (file) => ({ name: file.name, type: file.type, data: await base64(file) })));
      if (await post(`mail/${who}`, { subject: subject.value, text: text.value, files })) {
        text.value = "";
        if (input) input.value = "";
      }
    });
  }

  /* Pictures, STOP, and a group of two. */
  for (const who of ["consumer", "agent"]) {
    const [input, box] = [byId(`${who}-picture`), byId(`${who}-text`)];
    input.addEventListener("change", async () => {
      const [chosen] = input.files;
      if (!chosen) return;
      if (chosen.size > MOST) trouble("A picture of this page may have 1 MB.");
      else if (await post(who, { text: box.value, file: { name: chosen.name, type: chosen.type, data: await base64(chosen) } })) box.value = "";
      input.value = "";
    });
  }
  byId("consumer-stop").addEventListener("click", () => post("consumer", { text: "STOP" }));
  byId("consumer-group").addEventListener("click", async () => {
    const box = byId("consumer-text");
    if (!box.value.trim()) trouble("Write what the group shall read, and then send it there.");
    else if (await post("consumer", { text: box.value, group: true })) box.value = "";
  });

  /* Phone or mail, and tabs of small screens. */
  const main = document.querySelector("main");
  const modes = [...document.querySelectorAll("[data-to]")];
  let last;
  const named = () => {
    if (!last) return;
    const mail = main.dataset.mode === "mail";
    write(byId("consumer-number"), mail ? last.mail.consumer : number(last.consumer));
    write(byId("channel"), `Genesys channel ${mail ? last.mail.channel : last.channel}`);
  };
  for (const mode of modes) {
    mode.addEventListener("click", () => {
      main.dataset.mode = mode.dataset.to;
      for (const other of modes) other.setAttribute("aria-pressed", String(other === mode));
      for (const { list } of Object.values(logs)) list.scrollTop = list.scrollHeight;
      named();
    });
  }
  const tabs = [...document.querySelectorAll("[data-tab]")];
  let quiet = true;
  const mark = (name) => {
    if (!quiet && main.dataset.shown !== name) byId(`tab-${name}`).querySelector("i").hidden = false;
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => {
      main.dataset.shown = tab.dataset.tab;
      for (const other of tabs) other.setAttribute("aria-pressed", String(other === tab));
      tab.querySelector("i").hidden = true;
      for (const { list } of Object.values(logs)) list.scrollTop = list.scrollHeight;
    });
  }
  wide.addEventListener("change", () => { for (const tab of tabs) tab.querySelector("i").hidden = true; });

  /* Colours. */
  const THEMES = { auto: ["Auto", "as the system"], light: ["Light", "light"], dark: ["Dark", "dark"] };
  let theme = "auto";
  try { theme = localStorage.getItem("theme") || "auto"; } catch { /* Without a store the choice lasts as long as the page. */ }
  const paint = () => {
    if (!THEMES[theme]) theme = "auto";
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    write(byId("theme").querySelector("span"), THEMES[theme][0]);
    byId("theme").setAttribute("aria-label", `Colours: ${THEMES[theme][1]}`);
  };
  byId("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    theme = names[(names.indexOf(theme) + 1) % names.length];
    try { localStorage.setItem("theme", theme); } catch { /* As above. */ }
    paint();
  });
  paint();

  /* Live updates. */
  const show = (view) => {
    last = view;
    named();
    showLog("phone", view.phone);
    showLog("desk", view.desk);
    showLog("mailbox", view.mail.phone);
    showLog("answers", view.mail.desk);
    showLanes(view.walk);
    showNotices(view.walk);
    showTimeline(view);
    showFaults(view.faults);
    quiet = false;
  };
  const live = (state, text) => {
    byId("live").dataset.state = state;
    write(byId("live").querySelector("span"), text);
  };
  const source = new EventSource("live");
  source.addEventListener("open", () => live("on", "live"));
  source.addEventListener("error", () => live("off", "not connected, trying again"));
  source.addEventListener("view", (event) => show(JSON.parse(event.data)));
})();
