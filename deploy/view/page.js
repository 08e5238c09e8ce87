// The page shows the state that /events sends. All text is set as text, so that no name or
// error of the swarm can become HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const colours = 12; // number of colours in page.css
const wires = 6;

// el makes an element with a class and children, which are elements or text.
function el(tag, name, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children.filter((one) => one !== null && one !== ""));
  return made;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// keyed gives parent one child for each item, in the order of the items. It does not change
// children that are as before: a large swarm changes only in a few places.
function keyed(parent, items, key, make, fill) {
  const known = (parent.known ??= new Map());
  const gone = new Set(known.keys());
  let at = parent.firstElementChild;
  for (const item of items) {
    const id = key(item);
    gone.delete(id);
    let child = known.get(id);
    if (!child) known.set(id, (child = make(item)));
    const text = JSON.stringify(item);
    if (child.was !== text) {
      child.was = text;
      fill(child, item);
    }
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  for (const id of gone) {
    known.get(id).remove();
    known.delete(id);
  }
}

// age is how long ago something was. If clocks differ, the age is never negative.
function age(then) {
  const s = Math.max(0, Math.round((Date.now() - Date.parse(then)) / 1000));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 2 * 86400) return Math.floor(s / 3600) + " h";
  return Math.floor(s / 86400) + " d";
}

function since(then) {
  const made = el("time", "");
  made.dateTime = then;
  made.title = new Date(then).toLocaleString();
  made.textContent = age(then);
  return made;
}

setInterval(() => document.querySelectorAll("time").forEach((one) => set(one, age(one.dateTime))), 1000);

const bytes = (n) => (n >= 2 ** 30 ? (n / 2 ** 30).toFixed(1).replace(".0", "") + " GiB" : Math.round(n / 2 ** 20) + " MiB");
const count = (n, of) => n + " " + of + (n === 1 ? "" : "s");
const short = (text) => text.replace(/(sha256:[0-9a-f]{12})[0-9a-f]+/g, "$1");
const nameOf = (task) => task.service + (task.slot ? "." + task.slot : "");

// paint gives each service a colour by its name, so that the service keeps its colour.
function paint(services) {
  const taken = new Set(), found = {};
  for (const { name } of services) {
    let at = [...name].reduce((sum, one) => (sum * 31 + one.codePointAt(0)) >>> 0, 7) % colours;
    for (let n = 0; taken.has(at) && n < colours; n++) at = (at + 5) % colours;
    if (taken.size < colours) taken.add(at);
    found[name] = "c" + at;
  }
  return found;
}

let page = null; // the last state
let colour = {};
let picked = ""; // the service whose tasks are highlighted

function render(next) {
  const before = page;
  page = next;
  colour = paint(page.services);
  const busy = page.tasks.filter((one) => one.kind !== "bad").length;
  set($("summary"), `${count(page.nodes.length, "node")} · ${count(page.services.filter((one) => !one.gone).length, "service")} · ${busy} of ${count(page.tasks.length, "task")} well · ${page.engine}`);
  renderNodes();
  renderServices();
  renderDeploys(before);
  renderHistory();
  if ($("all").open) renderTable();
}

const rank = { leader: 0, manager: 1, worker: 2 };

function renderNodes() {
  const nodes = page.nodes.toSorted((a, b) => rank[a.role] - rank[b.role] || a.name.localeCompare(b.name, "en", { numeric: true }) || a.id.localeCompare(b.id));
  const columns = nodes.map((node) => ({ node, tasks: [] }));
  const at = new Map(columns.map((one) => [one.node.id, one.tasks]));
  const homeless = [];
  for (const task of page.tasks) (at.get(task.node) ?? homeless).push({ ...task, colour: colour[task.service] });
  if (homeless.length) columns.push({ node: { id: "", name: "on no node", role: "", availability: "active", state: "ready", engine: "", memory: 0 }, tasks: homeless });
  $("nodes").classList.toggle("dense", page.tasks.length > 8 * page.nodes.length);
  keyed($("nodes"), columns, (one) => one.node.id, makeNode, fillNode);
  const tiles = $("nodes").querySelectorAll(".tile");
  if (tiles.length && !$("nodes").querySelector(".tile[tabindex='0']")) tiles[0].tabIndex = 0;
}

function makeNode() {
  return el("li", "card node", el("h3"), el("p", "facts"), el("ul", "tiles"));
}

function fillNode(child, { node, tasks }) {
  const [head, facts, list] = child.children;
  const off = node.state !== "ready" ? node.state : node.availability !== "active" ? node.availability : "";
  child.className = "card node" + (node.state !== "ready" ? " down" : off ? " off" : "") + (node.id ? "" : " homeless");
  head.replaceChildren(el("span", "name", node.name), el("span", "badge " + node.role, node.role), off ? el("span", "badge alarm", off) : "");
  head.firstChild.title = node.name;
  facts.title = node.engine;
  set(facts, node.message || [node.engine && "engine " + node.engine.split("+")[0], node.cpus && count(node.cpus / 1e9, "CPU"), node.memory && bytes(node.memory)].filter(Boolean).join(" · "));
  keyed(list, tasks, (one) => one.id, () => el("li", "", el("button")), fillTile);
}

function fillTile(child, task) {
  const tile = child.firstChild;
  tile.className = `tile ${task.colour} ${task.kind}` + (picked && picked !== task.service ? " dim" : "");
  tile.type = "button";
  tile.tabIndex = tile.tabIndex === 0 && tile.isConnected ? 0 : -1;
  tile.task = task;
  tile.title = task.error ?? "";
  const state = el("span", "state", task.state + " ", since(task.since), task.restarts ? " · " + count(task.restarts, "restart") : "");
  tile.replaceChildren(el("span", "what", el("b", "", task.service), " ", el("span", "version", task.version)), state, task.kind === "bad" && task.error ? el("span", "error", task.error) : "");
}

function renderServices() {
  const nets = [...new Set(page.services.flatMap((one) => one.networks ?? []))].sort();
  const lanes = [{ name: "outside" }, ...nets.map((name) => ({ name })), { name: "", label: "Service" }, { name: "", label: "Tasks" }, { name: "", label: "Ports" }];
  keyed($("lanes"), lanes, (one) => one.name + "\n" + (one.label ?? ""), () => el("th"), (child, one) => {
    child.className = one.label ? "" : "lane";
    child.scope = "col";
    child.replaceChildren(el("span", "", one.label ?? one.name));
    child.title = one.label ? "" : "network " + one.name;
  });
  const rows = page.services.filter((one) => !one.gone);
  const on = (row, at) => (at === 0 ? Boolean(row.urls) : (row.networks ?? []).includes(nets[at - 1]));
  const spans = [0, ...nets.map((_, i) => i + 1)].map((at) => {
    const of = rows.map((row, i) => (on(row, at) ? i : -1)).filter((i) => i >= 0);
    return { first: Math.min(...of), last: Math.max(...of) };
  });
  const drawn = rows.map((row, i) => ({
    ...row, history: undefined, colour: colour[row.name], picked: picked === row.name,
    lanes: spans.map((span, at) => [on(row, at) ? "on" : "", i > span.first && i <= span.last ? "up" : "", i >= span.first && i < span.last ? "dn" : ""].join(" ")),
    nets: ["outside", ...nets],
  }));
  keyed($("rows"), drawn, (one) => one.name, () => el("tr"), fillService);
}

function fillService(child, row) {
  const lanes = row.lanes.map((name, at) => {
    const cell = el("td", `lane ${at ? "w" + ((at - 1) % wires) : "out"} ${name}`);
    if (name.startsWith("on")) cell.append(el("span", "hidden", (at ? "on network " : "reached from ") + row.nets[at]));
    return cell;
  });
  const pick = el("button", "pick", el("b", "", row.name));
  pick.type = "button";
  pick.setAttribute("aria-pressed", row.picked);
  pick.title = "pick out its tasks";
  pick.onclick = () => {
    picked = picked === row.name ? "" : row.name;
    document.querySelectorAll(".tile").forEach((one) => one.classList.toggle("dim", picked !== "" && one.task.service !== picked));
    renderServices();
  };
  const wanted = row.wanted ?? null;
  const full = wanted === null || row.running >= wanted;
  const links = (row.urls ?? []).map((url) => {
    if (!/^http:\/\//.test(url)) return el("span", "port", url);
    const link = el("a", "port", el("span", "host", url.slice(7, url.lastIndexOf(":"))), url.slice(url.lastIndexOf(":")));
    link.href = url;
    link.rel = "noreferrer";
    link.target = "_blank";
    return link;
  });
  const bad = !full && row.last_error ? el("p", "error", row.last_error) : "";
  const focused = document.activeElement && child.contains(document.activeElement);
  child.replaceChildren(...lanes,
    el("th", "service " + row.colour, el("i", "swatch"), pick, " ", el("span", "version", row.version ?? ""), el("p", "image", short(row.image ?? "")), bad),
    el("td", "", el("span", "pill " + (full ? "good" : "bad"), wanted === null ? row.running + " on all" : `${row.running} of ${wanted}`), row.update ? el("p", "note", "update: " + row.update) : ""),
    el("td", "ports", ...links));
  child.querySelector("th").scope = "row";
  if (focused) pick.focus();
}

const steps = [["build", /^build/], ["plan", /^plan/], ["try", /^trying/], ["change", /^changing/], ["prove", /^proving/]];
const ends = new Map(); // deploys that run or have just ended, by service
const stays = 120e3; // ms for which the end of a deploy is shown

function renderDeploys(before) {
  for (const { name, deploy, history = [] } of page.services) {
    const last = history[0], known = ends.get(name);
    if (deploy) {
      const from = last ? last.entry - (last.outcome === "running" ? 1 : 0) : 0;
      ends.set(name, { name, deploy, from: known && !known.end ? known.from : from, entry: last?.outcome === "running" ? last : null });
    } else if (known && !known.end) {
      const entry = last && last.entry > known.from ? last : null;
      ends.set(name, { ...known, entry, end: entry ? entry.outcome : "untouched", at: Date.now() });
    }
  }
  for (const [name, one] of ends) {
    if (one.end ? Date.now() - one.at > stays : !page.services.some((other) => other.name === name)) ends.delete(name);
  }
  keyed($("deploys"), [...ends.values()], (one) => one.name, () => el("li"), fillDeploy);
}

const said = { done: "done: the version was proven", failed: "failed: the version before is back", untouched: "ended, and changed nothing", running: "was cut off: the next deploy restores the version that ran before" };

function fillDeploy(child, { name, deploy, entry, end }) {
  const phase = deploy.phase || "taking the lock";
  const back = /^(going back|restoring)/.test(phase);
  const at = steps.findIndex(([, is]) => is.test(phase));
  child.className = "card deploy " + (end ? "end-" + end : back ? "back" : "going");
  const line = steps.map(([word], i) => {
    const step = el("li", end === "done" || i < at ? "past" : i === at && !end ? "now" : "", word);
    if (i === at && !end) step.setAttribute("aria-current", "step");
    return step;
  });
  const version = entry ? " " + entry.version : "";
  child.replaceChildren(
    el("h3", "", el("i", "swatch " + (colour[name] ?? "c0")), el("b", "", name), version),
    el("p", "phase", end ? said[end] ?? end : phase),
    back || (end && end !== "done") ? "" : el("ol", "steps", ...line),
    el("p", "by", `by ${deploy.holder}` + (end ? "" : `, since ${deploy.since}`)),
    !end && /seems to have died|has ended/.test(deploy.outlook) ? el("p", "error", deploy.outlook) : "",
    changes(entry?.lines));
}

function changes(lines) {
  return lines?.length ? el("ul", "changes", ...lines.map((one) => el("li", "", short(one)))) : "";
}

function renderHistory() {
  const all = page.services.flatMap(({ name, history = [] }) => history.map((one) => ({ ...one, name, colour: colour[name] })));
  all.sort((a, b) => b.at.localeCompare(a.at) || b.entry - a.entry);
  keyed($("history"), all, (one) => one.name + "\n" + one.entry, () => el("li"), (child, one) => {
    const signs = { done: "✓", failed: "✗", running: "●", found: "○" };
    const open = child.querySelector("details")?.open;
    const head = el("span", "line", el("i", "sign", signs[one.outcome] ?? "?"), el("b", "", one.name), " ", el("span", "version", one.version), since(one.at));
    const below = el("p", "by", `${one.outcome}, entry ${one.entry}, by ${one.by}` + (one.mark ? "; " + one.mark : ""));
    const what = changes(one.lines);
    child.className = "entry " + one.outcome + " " + one.colour;
    if (!what) return child.replaceChildren(head, below);
    const details = el("details", "", el("summary", "", count(one.lines.length, "change")), what);
    details.open = open ?? false;
    child.replaceChildren(head, below, details);
  });
}

function renderTable() {
  const hosts = new Map(page.nodes.map((one) => [one.id, one.name]));
  const rows = page.tasks.map((one) => ({ ...one, host: hosts.get(one.node) ?? "none" }));
  keyed($("tasks"), rows, (one) => one.id, () => el("tr"), (child, one) => {
    const state = el("td", "", el("span", "pill " + one.kind, one.state));
    child.replaceChildren(el("td", "", one.service), el("td", "", nameOf(one)), el("td", "", one.version), el("td", "", one.host), state, el("td", "", since(one.since)), el("td", "", String(one.restarts ?? 0)), el("td", "error", one.error ?? ""));
  });
}

$("all").ontoggle = () => page && $("all").open && renderTable();

// Tiles are one stop of the Tab key; arrows go from one to the next.
$("nodes").onkeydown = (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const tiles = [...$("nodes").querySelectorAll(".tile")];
  const next = tiles[tiles.indexOf(document.activeElement) + step];
  if (!step || !next) return;
  event.preventDefault();
  tiles.forEach((one) => (one.tabIndex = one === next ? 0 : -1));
  next.focus();
};

$("nodes").onclick = (event) => {
  const task = event.target.closest(".tile")?.task;
  if (!task) return;
  const host = page.nodes.find((one) => one.id === task.node)?.name ?? "none";
  const facts = { version: task.version, node: host, state: task.state, for: since(task.since), restarts: String(task.restarts ?? 0), "last error": task.error ?? "none", task: task.id };
  set($("task-name"), nameOf(task));
  $("task-facts").replaceChildren(...Object.entries(facts).flatMap(([name, value]) => [el("dt", "", name), el("dd", "", value)]));
  $("task").showModal();
};

function live(kind, text) {
  $("live").className = kind;
  set($("live"), text);
}

function lost(why) {
  live("bad", "lost");
  $("lost").hidden = false;
  set($("lost"), why);
  document.body.classList.add("stale");
}

// A hidden tab needs no connection: a browser has only few of them.
let source = null;

function connect() {
  source?.close();
  source = null;
  if (document.hidden) return;
  source = new EventSource("/events");
  source.addEventListener("page", (event) => {
    performance.mark("told");
    render(JSON.parse(event.data));
    performance.measure("update", "told");
    live("good", "live");
    $("lost").hidden = true;
    document.body.classList.remove("stale");
  });
  source.addEventListener("lost", (event) => lost("The engine is lost. Waiting for it. " + JSON.parse(event.data)));
  source.onerror = () => {
    lost("This page has lost its program, deploy view. If that has ended, start it again: ./scripts/view.sh");
    if (source?.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

document.onvisibilitychange = connect;
connect();
