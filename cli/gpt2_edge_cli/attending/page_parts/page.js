"use strict";
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const { texts, layers, heads, start } = data;
  // Shares in 16 bits, of 65,535; of each layer and head the rows of 1, 2, 3, ... tokens.
  const bytes = Uint8Array.from(atob(data.weights), (letter) => letter.charCodeAt(0));
  const weights = new DataView(bytes.buffer);
  const triangle = (texts.length * (texts.length + 1)) / 2;
  const listed = 10;

  const text = document.getElementById("text");
  const caption = document.getElementById("caption");
  const list = document.getElementById("list");
  const layerChoice = document.getElementById("layer");
  const headChoice = document.getElementById("head");
  const dark = matchMedia("(prefers-color-scheme: dark)");

  let chosen = start; // the token that stays chosen; another may be pointed at
  let shown = start;

  const quoted = (token) => `“${token.replaceAll("\n", "↵")}”`;

  function percentage(share) {
    if (share > 0.999 && share < 1) return ">99.9%";
    if (share > 0 && share < 0.001) return "<0.1%";
    return `${(100 * share).toFixed(1)}%`;
  }

  /** What token number `query` attends to: the mean of the layers and heads that are chosen. */
  function row(query) {
    const sums = new Float64Array(query + 1);
    let count = 0;
    for (let layer = 0; layer < layers.length; layer++) {
      if (layerChoice.value !== "" && Number(layerChoice.value) !== layer) continue;
      for (let head = 0; head < heads.length; head++) {
        if (headChoice.value !== "" && Number(headChoice.value) !== head) continue;
        const first = (layer * heads.length + head) * triangle + (query * (query + 1)) / 2;
        for (let key = 0; key <= query; key++) {
          sums[key] += weights.getUint16(2 * (first + key), true);
        }
        count++;
      }
    }
    return sums.map((sum) => sum / count / 65535);
  }

  function show(query) {
    shown = query;
    const shares = row(query);
    const largest = Math.max(...shares.subarray(0, query + 1), 1e-9);
    // From there on the other colour of letters has the better contrast, 4.5 and more.
    const strong = dark.matches ? 0.57 : 0.82;
    for (const [number, token] of [...text.children].entries()) {
      // The roots, so that small shares show.
      const shade = number <= query ? Math.sqrt(shares[number] / largest) : 0;
      token.style.setProperty("--share", shade.toFixed(3));
      token.classList.toggle("strong", shade > strong);
      token.setAttribute("aria-selected", String(number === query));
    }
    caption.textContent = `${quoted(texts[query])} (token ${query}) attends to`;
    const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a] || a - b);
    list.replaceChildren(
      ...order.slice(0, listed).map((number) => {
        const entry = document.createElement("tr");
        const share = entry.insertCell();
        const percent = document.createElement("span");
        percent.className = "percent";
        percent.textContent = percentage(shares[number]);
        const bar = document.createElement("span");
        bar.className = "bar";
        bar.style.setProperty("--share", (shares[number] / largest).toFixed(4));
        share.append(percent, bar);
        const word = entry.insertCell();
        word.className = "word";
        word.dir = "auto";
        word.textContent = quoted(texts[number]);
        entry.insertCell().textContent = String(number);
        return entry;
      }),
    );
  }

  function choose(query, focus) {
    text.children[chosen].tabIndex = -1;
    chosen = query;
    text.children[chosen].tabIndex = 0;
    if (focus) text.children[chosen].focus();
    show(chosen);
  }

  function fill(select, numbers) {
    if (numbers.length > 1) select.add(new Option(`mean of all ${numbers.length}`, ""));
    for (const [place, number] of numbers.entries()) select.add(new Option(String(number), place));
    select.addEventListener("change", () => show(shown));
  }

  fill(layerChoice, layers);
  fill(headChoice, heads);
  for (const [number, content] of texts.entries()) {
    const token = document.createElement("span");
    token.className = "token";
    token.setAttribute("role", "option");
    token.tabIndex = number === chosen ? 0 : -1;
    token.textContent = content.replaceAll("\n", "↵\n");
    token.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse") show(number);
    });
    token.addEventListener("click", () => choose(number, true));
    token.addEventListener("focus", () => {
      if (number !== chosen || number !== shown) choose(number, false);
    });
    text.append(token);
  }
  text.addEventListener("pointerleave", () => show(chosen));
  text.addEventListener("keydown", (event) => {
    const rightToLeft = getComputedStyle(text).direction === "rtl";
    const steps = {
      ArrowRight: rightToLeft ? -1 : 1,
      ArrowLeft: rightToLeft ? 1 : -1,
      ArrowDown: 1,
      ArrowUp: -1,
      Home: -texts.length,
      End: texts.length,
    };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(Math.min(Math.max(chosen + step, 0), texts.length - 1), true);
  });
  dark.addEventListener("change", () => show(shown));
  show(chosen);
}
