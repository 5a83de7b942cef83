"use strict";
// The answers to one prompt side by side: what GRPO compared with each other.
(() => {
  const { html, useMemo, useState } = htmPreact;

  const Member = ({ index, row, built, chosen, onOpen }) => {
    const { found, error } = VC.useTrajectory(index, row, built);
    const numbers = VC.numbersOf(index, row, found);
    return html`<section class=${`member ${chosen ? "chosen" : ""}`}>
      <header><${VC.Outcome} outcome=${index.text("outcome", row)} />
        <span>reward <b>${VC.show(Number.isNaN(index.column.reward[row]) ? null : index.column.reward[row])}</b></span>
        ${numbers.advantage !== undefined && html`<span>advantage <b>${VC.show(numbers.advantage)}</b></span>`}
        <span>calls <b>${VC.show(numbers["tool calls"])}</b></span>
        <button class="link" onClick=${onOpen}>open</button></header>
      ${error ? html`<p class="error">${error}</p>` : found ? html`<${VC.Turns} segments=${found.segments} />` : html`<p class="empty">loading ...</p>`}
    </section>`;
  };

  VC.Group = ({ index, row, built, onOpen, onClose }) => {
    const [most, setMost] = useState(16);
    const members = useMemo(() => index.members(row), [index, row]);
    const rewards = members.map((member) => index.column.reward[member]).filter((value) => !Number.isNaN(value));
    const mean = rewards.reduce((sum, value) => sum + value, 0) / (rewards.length || 1);
    const deviation = Math.sqrt(rewards.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(rewards.length - 1, 1));
    const { id, title } = index.problem(row);
    const step = index.column.step[row];
    return html`<div class="group">
      <header><button onClick=${onClose}>‹ one trajectory</button>
        <h2 dir="ltr"><bdi>${VC.visible(id)}</bdi></h2>
        <p class="note">${title !== id ? `${VC.visible(title)} · ` : ""}${VC.count(members.length, "answer")}${step >= 0 ? ` of step ${step}` : ""}; reward ${VC.show(mean)}, standard deviation ${VC.show(deviation)}${deviation === 0 && rewards.length > 1 && index.text("kind", row) === "training" ? ": GRPO learns nothing from this group" : ""}</p></header>
      <div class="members" tabindex="0">${members.slice(0, most).map((member) => html`<${Member} key=${index.keyOf(member)} index=${index} row=${member} built=${built} chosen=${member === row} onOpen=${() => onOpen(member)} />`)}
        ${members.length > most && html`<button onClick=${() => setMost(most + 32)}>show more of ${members.length}</button>`}</div>
    </div>`;
  };
})();
