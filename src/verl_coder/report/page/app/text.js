"use strict";
// Text that a model wrote, made inert: it only ever becomes text nodes, and what would steer a terminal or the
// direction of a line is shown by name.
(() => {
  const { html, useState } = htmPreact;
  const HIGHLIGHT_MAX = 20000;
  // Prism's patterns for strings take the square of a line's length.
  const LONG_LINE = /[^\n]{1000}/;
  const SHOWN_AT_FIRST = 6000;
  const LINES_AT_FIRST = 160;

  const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

  function name(character) {
    const code = character.charCodeAt(0);
    if (code === 13) return "␍";
    if (code < 32) return String.fromCharCode(0x2400 + code);
    if (code === 127) return "␡";
    return `⟦U+${code.toString(16).toUpperCase().padStart(4, "0")}⟧`;
  }

  VC.visible = (text) => String(text).replace(/\r\n/g, "\n").replace(CONTROL, name);

  VC.count = (value, noun) => `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;

  function highlighted(text, language) {
    const grammar = Prism.languages[language];
    if (!grammar || text.length > HIGHLIGHT_MAX || LONG_LINE.test(text)) return text;
    const nodes = (tokens) => tokens.map((token) => {
      if (typeof token === "string") return token;
      const inside = Array.isArray(token.content) ? nodes(token.content) : token.content;
      return html`<span class=${`tok-${token.type}`}>${typeof inside === "object" && !Array.isArray(inside) ? nodes([inside]) : inside}</span>`;
    });
    return nodes(Prism.tokenize(text, grammar));
  }

  function head(text) {
    let end = Math.min(text.length, SHOWN_AT_FIRST), lines = 0, at = -1;
    while ((at = text.indexOf("\n", at + 1)) !== -1 && at < end) if (++lines === LINES_AT_FIRST) { end = at; break; }
    // Not between the two halves of one character.
    if (end < text.length && /[\ud800-\udbff]/.test(text[end - 1])) end--;
    return end;
  }

  // A block of text; `piece` is [head] or, cut when the report was built, [head, characters left out, tail].
  VC.Block = ({ piece, language, label, className = "" }) => {
    const [whole, setWhole] = useState(false);
    const first = VC.visible(piece[0]);
    const end = whole ? first.length : head(first);
    const rest = first.length - end;
    return html`<figure class=${`block ${className}`}>
      ${label && html`<figcaption>${label}</figcaption>`}
      <pre dir="ltr"><code>${highlighted(first.slice(0, end), language)}</code></pre>
      ${rest > 0 && html`<button class="link" onClick=${() => setWhole(true)}>show ${VC.count(rest, "more character")}</button>`}
      ${piece.length > 1 && !rest && html`<p class="cut">${VC.count(piece[1], "character")} left out here when the report was built; the run's file has them</p>`}
      ${piece[2] && !rest && html`<pre dir="ltr"><code>${VC.visible(piece[2])}</code></pre>`}
    </figure>`;
  };

  const FENCE = /^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*$/;

  // A model's turn as pieces: {kind: "think" | "text" | "code", text, language}.
  VC.pieces = (text) => {
    const found = [];
    const open = text.indexOf("<think>");
    const close = text.indexOf("</think>");
    if (close >= 0 || open >= 0) {
      const from = open >= 0 && (close < 0 || open < close) ? open : -1;
      const before = from >= 0 ? text.slice(0, from) : "";
      const thought = text.slice(from >= 0 ? from + 7 : 0, close >= 0 ? close : text.length);
      if (before.trim()) found.push(...blocks(before));
      if (thought.trim()) found.push({ kind: "think", text: thought.trim() });
      if (close >= 0) found.push(...blocks(text.slice(close + 8)));
      return found;
    }
    return blocks(text);
  };

  function blocks(text) {
    const found = [];
    let plain = [], code = null;
    const flush = () => { if (plain.join("\n").trim()) found.push({ kind: "text", text: plain.join("\n").replace(/^\n+|\n+$/g, "") }); plain = []; };
    for (const line of text.split("\n")) {
      const fence = FENCE.exec(line.slice(0, 200));
      if (code === null && fence) {
        flush();
        code = { kind: "code", fence: fence[1], language: fence[2].toLowerCase(), lines: [] };
      } else if (code !== null && fence && fence[1][0] === code.fence[0] && fence[1].length >= code.fence.length && !fence[2]) {
        found.push({ kind: "code", language: code.language, text: code.lines.join("\n") });
        code = null;
      } else {
        (code === null ? plain : code.lines).push(line);
      }
    }
    if (code !== null) found.push({ kind: "code", language: code.language, text: code.lines.join("\n") });
    flush();
    return found;
  }

  // What a call asks for: its code where it is a function call with code, else its text.
  VC.callOf = (text) => {
    try {
      const call = JSON.parse(text);
      const given = call && typeof call === "object" ? call.arguments : undefined;
      if (given && typeof given.code === "string") {
        const rest = Object.entries(given).filter(([key]) => key !== "code");
        return { name: String(call.name), code: given.code, rest: rest.length ? JSON.stringify(Object.fromEntries(rest)) : "" };
      }
      return { name: String(call?.name ?? "call"), code: JSON.stringify(call, null, 2), language: "json", rest: "" };
    } catch {
      return { name: /^\s*\{/.test(text) ? "call that is not JSON" : "program", code: text, rest: "" };
    }
  };
})();
