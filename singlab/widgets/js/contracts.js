// Each channel's contract, with the states its two sides are in: the client's fills the left half of a state's
// box, the server's the right, in the colour of whoever has that end now. The drawings come ready-made; only the halves are filled here.

const MOST_DRAWN = 8;

class ContractsPane {
  constructor(root, view) {
    this.root = root;
    this.view = view;
    this.cards = new Map();
  }

  // One card a channel, made once; a channel keeps its place whether it is open now or not.
  card(number, channel) {
    const key = `${number} ${channel.contract}`;
    let card = this.cards.get(number);
    if (card && card.key === key) return card;
    const node = document.createElement("div");
    node.className = "sl-channel";
    node.dataset.channel = number;
    node.innerHTML = `<div class="sl-chip"></div><div class="sl-draw"></div>`;
    if (this.cards.size < MOST_DRAWN) node.querySelector(".sl-draw").innerHTML = this.view.run.drawings[channel.contract] || "";
    if (card) card.node.replaceWith(node); else this.root.appendChild(node);
    const states = [...node.querySelectorAll("[data-state]")].map((state) => ({ state, halves: [state.querySelector(".imp"), state.querySelector(".exp")] }));
    card = { key, node, chip: node.querySelector(".sl-chip"), states, shown: "" };
    this.cards.set(number, card);
    return card;
  }

  paint(state) {
    const { run } = this.view;
    const channels = Object.entries(run.meta.channels || {}).map(([number, channel]) => [Number(number), channel]);
    this.root.parentElement.hidden = !channels.length;
    for (const [number, channel] of channels) {
      const contract = (run.meta.contracts || {})[channel.contract];
      if (!contract) continue;
      const card = this.card(number, channel), open = state.contract.has(number * 2);
      const sides = ["Imp", "Exp"].map((side, which) => {
        const process = run.owner(this.view.position - 1, number, which);  // ends change hands
        const at = state.contract.get(number * 2 + which), closed = state.closed.has(number * 2 + which);
        return { which, side, process, at, closed, here: open && !closed };
      });
      const shown = JSON.stringify([sides, this.view.hover, sides.map((s) => [run.name(s.process), this.view.colour(s.process)])]);
      if (shown === card.shown) continue;
      card.shown = shown;
      card.node.classList.toggle("sl-off", !sides.some((s) => s.here));
      card.chip.innerHTML = `<em>channel ${number} · ${escapeText(channel.contract)}</em>` + sides.map((s) => {
        const word = !open ? "not yet open" : s.closed ? "closed" : contract.states[s.at] !== undefined ? contract.states[s.at] : `state ${s.at}`;
        const half = `linear-gradient(90deg, ${s.which ? `transparent 50%, ${this.view.colour(s.process)} 50%` : `${this.view.colour(s.process)} 50%, transparent 50%`})`;
        return `<span data-process="${s.process}" style="opacity:${this.view.dim(s.process)}"><i class="sl-half" style="background:${half};border-color:${this.view.colour(s.process)}"></i>${escapeText(run.name(s.process))} (${s.side}): <b class="${s.closed ? "sl-shut" : ""}" data-side="${s.side}">${escapeText(word)}</b></span>`;
      }).join("");
      card.states.forEach(({ state: box, halves }, index) => {
        sides.forEach((s) => {
          const on = s.here && s.at === index;
          halves[s.which].style.fill = on ? this.view.colour(s.process) : "";
          halves[s.which].style.fillOpacity = on ? 0.6 * this.view.dim(s.process) : "";
        });
        box.classList.toggle("sl-now-here", sides.some((s) => s.here && s.at === index));
      });
    }
  }
}
