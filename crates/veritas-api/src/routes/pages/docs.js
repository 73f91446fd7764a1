// Reads /openapi.json and lists its operations. Text goes in as text, never as markup.
"use strict";

function element(name, text, ...children) {
  const node = document.createElement(name);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
}

function resolve(openapi, object) {
  if (!object || !object.$ref) return object;
  return object.$ref.slice(2).split("/").reduce((at, key) => at && at[key], openapi);
}

function describe(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const type = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type || "any";
  const bounds = ["minimum", "maximum", "pattern", "default"]
    .filter((key) => schema[key] !== undefined)
    .map((key) => `${key} ${schema[key]}`);
  return [type, ...bounds].join(", ");
}

function table(head, rows) {
  const body = rows.map((cells) => element("tr", "", ...cells.map((cell) => element("td", cell))));
  return element("table", "", element("tr", "", ...head.map((cell) => element("th", cell))), ...body);
}

function curl(method, path, operation) {
  const parts = ["curl"];
  if (method !== "get") parts.push("-X", method.toUpperCase());
  const isOpen = (operation.security || []).some((scheme) => Object.keys(scheme).length === 0);
  if (!isOpen) parts.push('-H "Authorization: Bearer $TOKEN"');
  if (operation.requestBody) parts.push('-H "Content-Type: application/json" -d @body.json');
  parts.push(`'${location.origin}${path}'`);
  return parts.join(" ");
}

function example(openapi, response) {
  const content = Object.values((response && response.content) || {})[0];
  if (!content) return undefined;
  if (content.example !== undefined) return content.example;
  const schema = content.schema || {};
  const target = resolve(openapi, schema);
  if (target && target.example !== undefined) return target.example;
  if (schema.type === "array") {
    const item = resolve(openapi, schema.items);
    if (item && item.example !== undefined) return [item.example];
  }
  return undefined;
}

function show(openapi, method, path, operation) {
  const body = element("div", "");
  if (operation.description) body.append(element("p", operation.description));
  body.append(element("pre", curl(method, path, operation)));
  const parameters = (operation.parameters || []).map((one) => resolve(openapi, one));
  if (parameters.length) {
    body.append(table(["Parameter", "In", "Type", "Meaning"],
      parameters.map((one) => [one.name, one.in, describe(one.schema), one.description || ""])));
  }
  const responses = Object.entries(operation.responses || {});
  body.append(table(["Status", "Meaning"],
    responses.map(([status, response]) => [status, resolve(openapi, response).description])));
  const shown = responses.map(([, response]) => example(openapi, resolve(openapi, response)));
  const first = shown.find((value) => value !== undefined);
  if (first !== undefined) body.append(element("pre", JSON.stringify(first, null, 2)));
  const summary = element("summary", "", element("span", method.toUpperCase()),
    element("code", path), element("span", ` — ${operation.summary || ""}`));
  summary.firstChild.className = "method";
  const details = element("details", "", summary, body);
  details.dataset.text = `${method} ${path} ${operation.summary || ""}`.toLowerCase();
  return details;
}

async function main() {
  const openapi = await (await fetch("/openapi.json")).json();
  document.getElementById("title").textContent = `${openapi.info.title} ${openapi.info.version}`;
  document.getElementById("description").textContent = openapi.info.description || "";
  const groups = new Map();
  for (const [path, item] of Object.entries(openapi.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (!operation.responses) continue;
      const tag = (operation.tags || ["Other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(show(openapi, method, path, operation));
    }
  }
  const main = document.getElementById("operations");
  for (const [tag, shown] of groups) main.append(element("section", "", element("h2", tag), ...shown));
  document.getElementById("filter").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const details of main.querySelectorAll("details")) {
      details.hidden = !details.dataset.text.includes(wanted);
    }
  });
}

main().catch((error) => {
  document.getElementById("description").textContent = `The document could not be read: ${error.message}`;
});
