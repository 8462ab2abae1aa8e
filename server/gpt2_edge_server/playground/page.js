/** What all views share: the text, the model, the settings, and what is said to the reader. */

import { button, byId, el } from "./dom.js";
import { packageChooser } from "./package-chooser.js";
import { size } from "./words.js";

/**
 * @typedef {object} View
 * @property {string} name
 * @property {string} label
 * @property {HTMLElement} element
 * @property {() => void} show
 * @property {() => void} hide
 * @property {() => void} textChanged      While it is shown.
 * @property {() => void} settingsChanged  While it is shown.
 * @property {() => void} modelChanged     While it is shown: the model is there, or another one.
 * @property {(event: KeyboardEvent) => boolean} key  True: it was meant for the view.
 */

/** How long something said stays to be seen, in ms, and how much longer with each of its letters. */
const SEEN = 3000;
const SEEN_LETTER = 60;
/** Every package has it. */
export const MANIFEST = "manifest.json";

export class Page {
  /**
   * @param {import("./text-store.js").TextStore} store
   * @param {import("./settings.js").Settings} settings
   * @param {import("./editor.js").Editor} editor
   * @param {import("./backend.js").Backend} backend
   */
  constructor(store, settings, editor, backend) {
    this.store = store;
    this.settings = settings;
    this.editor = editor;
    this.backend = backend;
    /** Undefined until the model is there. @type {import("./backend.js").Info | undefined} */
    this.info = undefined;
    /** Called when the model is there. */
    this.onModel = () => {};
    /** @private @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @private @type {AbortController | undefined} */
    this.loading = undefined;
  }

  /**
   * Tells the reader, and screen readers.
   * @param {string} text
   * @param {{seen?: boolean}} options  seen: on the page it is to be seen anyway.
   */
  say(text, { seen = false } = {}) {
    const status = byId("status");
    status.textContent = text;
    status.classList.toggle("shown", !seen);
    clearTimeout(this.timer);
    const seenFor = SEEN + SEEN_LETTER * text.length;
    this.timer = setTimeout(() => status.classList.remove("shown"), seenFor);
  }

  /** Loads the model; a failure is told, and may be tried again where that could help. */
  async load({ canHelp = true } = {}) {
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    const { backend } = this;
    this.showProgress("Looking for the model…", 0, 0);
    try {
      await backend.load?.({
        signal: loading.signal,
        onProgress: ({ label, loaded, total }) => this.showProgress(label, loaded, total),
      });
      const info = await backend.info();
      if (loading.signal.aborted) return;
      if (this.info) this.say(`The model is now “${info.name}”, ${info.recipe}.`);
      this.info = info;
      this.hideNotice();
      byId("loading").hidden = true;
      this.onModel();
    } catch (error) {
      if (loading.signal.aborted) return;
      byId("loading").hidden = true;
      this.fail(error, canHelp ? () => this.load() : undefined);
    }
  }

  /** What is no package changes nothing. @param {import("./backend.js").PackageSource} source */
  choosePackage(source) {
    const fromDisk = "files" in source;
    if (fromDisk && !source.files.some(({ name }) => name === MANIFEST)) {
      return this.say(`That is no package, as it has no ${MANIFEST}; nothing has changed.`);
    }
    this.backend.choosePackage?.(source);
    // Files do not get better by another try; where there is no model, it is the one before.
    void this.load({ canHelp: !fromDisk || !this.info });
  }

  /**
   * Does `call`; a failure is told, with the offer to try again.
   * @param {() => Promise<void>} call
   */
  async attempt(call) {
    try {
      await call();
      // Without a model it did nothing, and why there is none stays to be read.
      if (this.info) this.hideNotice();
    } catch (error) {
      this.fail(error, () => this.attempt(() => this.again(call)));
    }
  }

  /** The server that is there by now may have another model. @private @param {() => Promise<void>} call */
  async again(call) {
    const info = this.info && (await this.backend.info());
    if (info && JSON.stringify(info) !== JSON.stringify(this.info)) {
      this.info = info;
      this.onModel();
    }
    await call();
  }

  /** @private @param {unknown} error @param {(() => void) | undefined} again */
  fail(error, again) {
    const notice = byId("notice");
    const message = error instanceof Error ? error.message : String(error);
    const close = button("close", "Close", () => this.hideNotice(), {
      class: "icon-only quiet",
      "aria-label": "Close this message",
    });
    const asksKey = error instanceof Error && error.name === "KeyError";
    const actions = el("div", {});
    if (again && asksKey) actions.append(this.keyForm(again));
    else if (again) actions.append(button("again", "Try again", again, { class: "primary" }));
    notice.replaceChildren(
      el("p", { role: "alert" }, el("strong", {}, message), " Your text is safe."),
      el("div", { class: "notice-actions" }, actions, close),
      ...(this.backend.choosePackage && !this.info ? [packageChooser(this, "notice")] : []),
    );
    notice.hidden = false;
  }

  /** @private @param {() => void} again */
  keyForm(again) {
    const input = el("input", { type: "password", id: "key", autocomplete: "off" });
    const form = el(
      "form",
      { class: "inline" },
      el("label", { for: "key" }, "Key"),
      input,
      el("button", { class: "primary" }, "Go on"),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      try {
        this.backend.setKey?.(input.value);
      } catch (error) {
        this.fail(error, again);
        return;
      }
      again();
    });
    return form;
  }

  /** @private */
  hideNotice() {
    const notice = byId("notice");
    if (notice.hidden) return;
    const focused = notice.contains(document.activeElement);
    notice.hidden = true;
    notice.replaceChildren();
    // Focus must not vanish with the button that had it.
    if (focused)
      document
        .querySelector("[role=tab][aria-selected=true]")
        ?.dispatchEvent(new Event("takefocus"));
  }

  /** @private @param {string} label @param {number} loaded @param {number} total */
  showProgress(label, loaded, total) {
    const bar = /** @type {HTMLProgressElement} */ (byId("progress"));
    byId("loading").hidden = false;
    if (total > 0) {
      bar.max = total;
      bar.value = loaded;
    } else {
      bar.removeAttribute("value");
    }
    const amount = total > 0 ? `${size(loaded)} of ${size(total)}` : "";
    byId("progress-label").textContent = [label, amount].filter(Boolean).join(" · ");
  }
}
