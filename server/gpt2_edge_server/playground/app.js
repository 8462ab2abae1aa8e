/** The page: one text, five views of it, and where they are kept. */

import { chooseBackend } from "./backend.js";
import { button, byId, el } from "./dom.js";
import { Editor } from "./editor.js";
import { takeDrops } from "./package-drop.js";
import { Page } from "./page.js";
import { browserLocks, MOST_SESSIONS, Sessions } from "./sessions.js";
import { Settings } from "./settings.js";
import { copyText, shareLink, takeFromAddress } from "./share.js";
import { own, shared } from "./storage.js";
import { settled } from "./tasks.js";
import { TextStore } from "./text-store.js";
import { beginText, showTexts } from "./texts.js";
import { attentionView } from "./views/attention.js";
import { modelView } from "./views/model.js";
import { nextView } from "./views/next.js";
import { readView } from "./views/read.js";
import { writeView } from "./views/write.js";

const THEME = "gpt2-edge/theme";
const VIEW = "gpt2-edge/view";

const sessions = new Sessions(shared, own, browserLocks());
const store = new TextStore(await sessions.open());
const settings = new Settings(shared);
const editor = new Editor(store);
const page = new Page(store, settings, editor, await chooseBackend());
const views = [writeView, nextView, readView, attentionView, modelView].map((make) => make(page));
let shown = views.find(({ name }) => name === own.getItem(VIEW)) ?? views[0];

keepText();
buildTabs();
buildTools();
takeDrops(page);
document.addEventListener("keydown", handleKey);
addEventListener("hashchange", openLink);
store.onChange(() => shown?.textChanged());
settings.onChange(() => shown?.settingsChanged());
page.onModel = () => shown?.modelChanged();
openLink();
if (shown) select(shown);
void page.load();

/** Every change is in storage soon, and before the page goes. */
function keepText() {
  const saving = settled(300, async () => {
    const kept = await sessions.keep(store.saved(), Date.now());
    if (!kept) page.say("There is no room to keep this text: copy it before you leave.");
  });
  store.onChange(() => saving.soon());
  store.onHome = (id) => void sessions.move(id, store.text);
  sessions.onGone = () =>
    page.say(
      `The oldest text is gone: there is room for ${MOST_SESSIONS} here, or for fewer long ones.`,
    );
  addEventListener("pagehide", () => saving.now());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") saving.now();
  });
  addEventListener("storage", async (event) => {
    if (!sessions.owns(event.key) || event.newValue === null) return;
    await sessions.part();
    saving.soon();
    page.say("This text is open in another tab, too. Here, you go on with a copy.");
  });
}

function openLink() {
  const brought = takeFromAddress();
  if (!brought) return;
  if (brought.seed !== undefined) settings.setSeed(brought.seed);
  if (store.text.trim() && store.text !== brought.text) {
    page.say("This is the text of the link. Undo brings yours back.");
  }
  void beginText(page, sessions, brought.text);
}

function buildTabs() {
  const tabs = views.map((view) => {
    const tab = el("button", {
      type: "button",
      role: "tab",
      id: `tab-${view.name}`,
      "aria-controls": `view-${view.name}`,
    });
    tab.append(el("span", {}, view.label));
    tab.addEventListener("click", () => select(view));
    tab.addEventListener("takefocus", () => tab.focus());
    Object.entries({
      id: `view-${view.name}`,
      role: "tabpanel",
      "aria-labelledby": tab.id,
    }).forEach(([name, value]) => view.element.setAttribute(name, value));
    view.element.hidden = true;
    return tab;
  });
  byId("tabs").append(...tabs);
  byId("views").append(...views.map(({ element }) => element));
  byId("tabs").addEventListener("keydown", (event) => {
    const at = shown ? views.indexOf(shown) : 0;
    const last = views.length - 1;
    /** @type {Record<string, number>} */
    const targets = {
      ArrowRight: at === last ? 0 : at + 1,
      ArrowLeft: at === 0 ? last : at - 1,
      Home: 0,
      End: last,
    };
    const target = views[targets[event.key] ?? -1];
    if (!target) return;
    event.preventDefault();
    select(target);
    byId(`tab-${target.name}`).focus();
  });
}

/** @param {import("./page.js").View} view */
function select(view) {
  if (shown && shown !== view) {
    shown.hide();
    shown.element.hidden = true;
  }
  shown = view;
  for (const { name } of views) {
    const tab = byId(`tab-${name}`);
    tab.setAttribute("aria-selected", String(name === view.name));
    tab.tabIndex = name === view.name ? 0 : -1;
  }
  document.body.dataset["view"] = view.name;
  view.element.hidden = false;
  own.setItem(VIEW, view.name);
  scrollTo({ top: 0 });
  view.show();
}

function buildTools() {
  /** @type {[string, string, () => void][]} */
  const tools = [
    ["pages", "Earlier texts", () => showTexts(page, sessions)],
    ["copy", "Copy the text", () => copyText(page)],
    ["link", "Share as a link", () => shareLink(page)],
  ];
  for (const [icon, label, click] of tools) {
    const attributes = { class: "icon-only quiet", "aria-label": label, title: label };
    byId("tools").append(button(icon, label, click, attributes));
  }
  byId("tools").append(themeButton());
}

function themeButton() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset["theme"] ? root.dataset["theme"] === "dark" : dark.matches);
  const toggle = button("moon", "Dark", () => {
    root.dataset["theme"] = isDark() ? "light" : "dark";
    try {
      shared.setItem(THEME, root.dataset["theme"]);
    } catch {
      // No room: it holds for this visit.
    }
    update();
  });
  toggle.className = "icon-only quiet";
  const update = () => {
    const label = isDark() ? "Light colours" : "Dark colours";
    toggle.setAttribute("aria-label", label);
    toggle.title = label;
    toggle.querySelector("use")?.setAttribute("href", `icons.svg#${isDark() ? "sun" : "moon"}`);
    document.dispatchEvent(new Event("themechange"));
  };
  dark.addEventListener("change", update);
  update();
  return toggle;
}

/** @param {KeyboardEvent} event */
function handleKey(event) {
  if (event.isComposing || document.querySelector("dialog[open]")) return;
  const command = event.ctrlKey || event.metaKey;
  const inField =
    event.target instanceof HTMLInputElement &&
    ["text", "number", "password"].includes(event.target.type);
  if (command && !event.altKey && !inField) {
    const key = event.key.toLowerCase();
    const redo = (key === "z" && event.shiftKey) || (key === "y" && !event.shiftKey);
    if (redo || (key === "z" && !event.shiftKey)) {
      event.preventDefault();
      editor.beforeInput();
      if (redo) store.redo();
      else store.undo();
      return;
    }
  }
  if (!inField && shown?.key(event)) event.preventDefault();
}
