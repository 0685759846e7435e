"use strict";

const place = (id) => document.getElementById(id);
const LONGEST_SHOWN = 200000;
let socket = null;

function show(text, took) {
  place("answer").textContent =
    text.length > LONGEST_SHOWN ? text.slice(0, LONGEST_SHOWN) + "\n… cut here" : text;
  place("took").textContent = took;
}

function stopWatching() {
  if (socket) {
    socket.close(1000);
    socket = null;
  }
  place("stop").disabled = true;
}

async function askOnce(payload) {
  const begun = performance.now();
  const response = await fetch("/graphql", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json, application/json",
    },
    body: JSON.stringify(payload),
  });
  const content = await response.json();
  const took = Math.round(performance.now() - begun);
  const cost = content.extensions && content.extensions.cost;
  const costs = cost ? `, cost ${cost.requested} of ${cost.limit}` : "";
  show(JSON.stringify(content, null, 2), `${response.status}, ${took} ms${costs}`);
}

function watch(payload) {
  const lines = [];
  const own = new WebSocket(`ws://${location.host}/graphql`, "graphql-transport-ws");
  socket = own;
  place("stop").disabled = false;
  show("", "watching …");
  own.onopen = () => own.send(JSON.stringify({ type: "connection_init" }));
  own.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "connection_ack") {
      own.send(JSON.stringify({ id: "1", type: "subscribe", payload }));
    } else if (message.type === "next" || message.type === "error") {
      lines.unshift(JSON.stringify(message.payload, null, 2));
      show(lines.slice(0, 100).join("\n\n"), `watching: ${lines.length} so far`);
    } else if (message.type === "complete") {
      show(lines.slice(0, 100).join("\n\n"), `ended after ${lines.length}`);
      stopWatching();
    }
  };
  own.onclose = () => {
    if (socket === own) {
      socket = null;
      place("stop").disabled = true;
    }
  };
}

async function ask() {
  stopWatching();
  let variables;
  try {
    variables = JSON.parse(place("variables").value || "{}");
  } catch (error) {
    show(String(error), "the variables are not JSON");
    return;
  }
  const query = place("query").value;
  const payload = { query, variables };
  if (/^\s*subscription\b/m.test(query)) {
    watch(payload);
    return;
  }
  show("", "asking …");
  try {
    await askOnce(payload);
  } catch (error) {
    show(String(error), "no answer");
  }
}

async function begin() {
  const queries = await (await fetch("/queries.json")).json();
  const names = Object.keys(queries);
  for (const name of names) {
    place("query-name").append(new Option(name.replaceAll("-", " "), name));
  }
  const choose = () => {
    place("query").value = queries[place("query-name").value] || "{ networks { name crs } }";
  };
  place("query-name").onchange = choose;
  choose();
  const health = await (await fetch("/healthz")).json();
  place("health").textContent = `${health.height} blocks sealed`;
}

place("ask").onclick = ask;
place("stop").onclick = stopWatching;
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    ask();
  }
});
begin();
