// Shows an OpenAPI document and sends requests. Text of the document is only ever put on the page
// as text, never as markup. The key lives in the input field and nowhere else.
"use strict";

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
const SHOWN_MAX = 1 << 20; // characters of an answer that are shown
const byId = (id) => document.getElementById(id);
let api = {};

/** An element with attributes, and children that are elements or text. */
function el(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== ""));
  return element;
}

/** What a reference leads to. */
function follow(value) {
  for (let steps = 0; value && value.$ref && steps < 20; steps += 1) {
    const parts = value.$ref.replace(/^#\//, "").split("/");
    value = parts.reduce((at, part) => at && at[part.replace(/~1/g, "/").replace(/~0/g, "~")], api);
  }
  return value || {};
}

/** Paragraphs, `code` and **bold** of a description. */
function prose(text) {
  return (text || "").split(/\n\s*\n/).filter((part) => part.trim()).map((part) => {
    const pieces = part.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) => {
      if (/^`.+`$/.test(piece)) return el("code", {}, piece.slice(1, -1));
      if (/^\*\*.+\*\*$/.test(piece)) return el("strong", {}, piece.slice(2, -2));
      return piece.replace(/\s+/g, " ");
    });
    return el("p", {}, pieces);
  });
}

const json = (value) => JSON.stringify(value, null, 2);
const schemaName = (reference) => reference.split("/").pop();

/** The type of a schema in a few words; named schemas are links. */
function typeOf(schema) {
  if (schema == null || schema === true) return ["anything"];
  if (schema.$ref) {
    const name = schemaName(schema.$ref);
    return [el("a", { href: `#schema-${name}` }, name)];
  }
  for (const key of ["oneOf", "anyOf", "allOf"]) {
    if (schema[key]) {
      const word = key === "allOf" ? " and " : " or ";
      return schema[key].flatMap((part, n) => (n ? [word, ...typeOf(part)] : typeOf(part)));
    }
  }
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" or ")];
  const types = [].concat(schema.type || (schema.properties ? "object" : "anything"));
  return types.flatMap((type, n) => {
    const shown = type === "array" ? ["array of ", ...typeOf(schema.items)] : [type];
    return n ? [" or ", ...shown] : shown;
  });
}

/** Limits and the like that a schema names. */
function limitsOf(schema) {
  const words = ["format", "minimum", "maximum", "minLength", "maxLength", "pattern", "default"];
  const found = words.filter((word) => schema && schema[word] !== undefined);
  return found.map((word) => `${word} ${JSON.stringify(schema[word])}`).join(", ");
}

/** The members of an object, and of what lies in it. */
function fieldsOf(schema, depth) {
  if (!schema || schema.$ref || depth > 8) return null;
  const inner = [schema.items, ...(schema.oneOf || []), ...(schema.anyOf || []), ...(schema.allOf || [])];
  const required = schema.required || [];
  const fields = Object.entries(schema.properties || {}).map(([name, property]) => el("li", {},
    el("code", {}, name), " ", typeOf(property), required.includes(name) ? " (required)" : "",
    el("span", { class: "dim" }, " ", limitsOf(property)), prose(property.description),
    fieldsOf(property, depth + 1)));
  const list = fields.length ? el("ul", { class: "fields" }, fields) : null;
  return [list, inner.filter(Boolean).map((part) => fieldsOf(part, depth + 1))];
}

/** A value that a schema allows, as far as that is simple. */
function sampleOf(reference, depth) {
  const schema = follow(reference);
  const given = [schema.example, (schema.examples || [])[0], schema.default, schema.const, (schema.enum || [])[0]];
  const found = given.find((value) => value !== undefined);
  if (found !== undefined) return found;
  const choice = (schema.oneOf || schema.anyOf || schema.allOf || [])[0];
  if (choice && depth < 8) return sampleOf(choice, depth + 1);
  const type = [].concat(schema.type || (schema.properties ? "object" : "null"))[0];
  if (type === "array") return depth < 8 ? [sampleOf(schema.items, depth + 1)] : [];
  if (type !== "object") return { string: "", integer: 0, number: 0, boolean: false }[type] ?? null;
  const names = (schema.required || []).filter((name) => depth < 8 && (schema.properties || {})[name]);
  return Object.fromEntries(names.map((name) => [name, sampleOf(schema.properties[name], depth + 1)]));
}

/** Some text that a body could be. */
function exampleOf(media) {
  if (!media) return "";
  const named = Object.values(media.examples || {})[0];
  const schema = follow(media.schema);
  const found = [media.example, named && follow(named).value, schema.example, (schema.examples || [])[0]]
    .find((value) => value !== undefined);
  if (found === undefined) return "";
  return typeof found === "string" ? found : json(found);
}

function parametersOf(item, operation) {
  const all = [...(item.parameters || []), ...(operation.parameters || [])].map(follow);
  return all.filter((one, n) => !all.slice(n + 1).some((other) => other.name === one.name && other.in === one.in));
}

function parameterTable(parameters) {
  if (!parameters.length) return null;
  const rows = parameters.map((one) => el("tr", {},
    el("th", { scope: "row" }, el("code", {}, one.name)),
    el("td", {}, one.in, one.required ? ", required" : ""),
    el("td", {}, typeOf(one.schema), el("span", { class: "dim" }, " ", limitsOf(one.schema))),
    el("td", {}, prose(one.description))));
  const head = ["Name", "Where", "Type", "Meaning"].map((word) => el("th", { scope: "col" }, word));
  return [el("h3", {}, "Parameters"), el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows))];
}

function contentOf(content) {
  return Object.entries(content || {}).map(([type, media]) => {
    const example = exampleOf(media);
    return el("div", {}, el("p", {}, el("code", {}, type), ": ", typeOf(media.schema)),
      fieldsOf(media.schema, 0), example && el("pre", { tabindex: "0" }, example));
  });
}

function responsesOf(operation) {
  const rows = Object.entries(operation.responses || {}).map(([status, reference]) => {
    const response = follow(reference);
    const headers = Object.entries(response.headers || {}).map(([name, header]) => el("li", {},
      el("code", {}, name), " ", typeOf(follow(header).schema), prose(follow(header).description)));
    const links = Object.entries(response.links || {}).map(([name, reference2]) => {
      const link = follow(reference2);
      const target = link.operationId ? el("a", { href: `#op-${link.operationId}` }, link.operationId) : link.operationRef || "";
      const given = Object.entries(link.parameters || {}).map(([key, value]) => `${key} = ${value}`).join(", ");
      return el("li", {}, name, " → ", target, " ", el("span", { class: "dim" }, given), prose(link.description));
    });
    const box = el("details", {}, el("summary", {}, el("strong", {}, status), " ",
      el("span", { class: "dim" }, (response.description || "").replace(/`/g, "").slice(0, 200))));
    let filled = false;
    box.addEventListener("toggle", () => {
      if (filled || !box.open) return;
      filled = true;
      box.append(el("div", { class: "inside" }, prose(response.description),
        headers.length ? [el("h4", {}, "Headers"), el("ul", {}, headers)] : null,
        links.length ? [el("h4", {}, "Links"), el("ul", {}, links)] : null, contentOf(response.content)));
    });
    return box;
  });
  return [el("h3", {}, "Responses"), rows];
}

/** The header that carries the key, as the document says. */
function keyHeader() {
  const key = byId("key").value;
  if (!key) return null;
  const schemes = Object.values((api.components || {}).securitySchemes || {}).map(follow);
  const named = schemes.find((scheme) => scheme.type === "apiKey" && scheme.in === "header");
  const bearer = schemes.some((scheme) => scheme.type === "http" && /^bearer$/i.test(scheme.scheme));
  return named && !bearer ? [named.name, key] : ["Authorization", `Bearer ${key}`];
}

/** The address and options of the request that a form describes. */
function requestOf(method, path, fields, body) {
  const query = new URLSearchParams();
  const headers = new Headers();
  for (const { parameter, input } of fields) {
    const value = input.value;
    if (value === "" && parameter.in !== "path") continue;
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, () => encodeURIComponent(value));
    else if (parameter.in === "query") query.append(parameter.name, value);
    else if (parameter.in === "header") headers.set(parameter.name, value);
  }
  const key = keyHeader();
  if (key) headers.set(...key);
  const options = { method: method.toUpperCase(), headers, credentials: "omit", cache: "no-store" };
  if (body && body.text.value !== "") {
    headers.set("Content-Type", body.type.value);
    options.body = body.text.value;
  }
  const search = query.toString();
  // Relative to where this page is, so that it also works behind a prefix.
  const url = new URL(path.replace(/^\//, "") + (search ? `?${search}` : ""), new URL(".", location));
  return [url, options];
}

/** Sends a request and shows the answer as it comes. */
async function send(url, options, output, signal) {
  const started = performance.now();
  const head = el("p", {}, `${options.method} ${url.pathname}${url.search}`);
  const headers = el("pre", { tabindex: "0", "aria-label": "Headers of the answer" });
  const text = el("pre", { tabindex: "0", "aria-label": "Body of the answer" });
  output.replaceChildren(head);
  try {
    const response = await fetch(url, { ...options, signal });
    const ms = Math.round(performance.now() - started);
    head.append(el("br"), el("strong", {}, `${response.status} ${response.statusText}`), ` after ${ms} ms`);
    headers.textContent = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    output.append(headers, text);
    const type = response.headers.get("content-type") || "";
    let all = "";
    if (response.body) {
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        all += piece.value;
        if (all.length > SHOWN_MAX) {
          all = `${all.slice(0, SHOWN_MAX)}\n… (cut off here)`;
          await reader.cancel();
          break;
        }
        text.textContent = all;
      }
    }
    if (/^application\/([a-z.-]+\+)?json/.test(type)) {
      try { all = json(JSON.parse(all)); } catch { /* shown as it came */ }
    }
    text.textContent = all;
    text.hidden = all === "";
  } catch (error) {
    head.append(el("br"), signal.aborted ? "Stopped." : `No answer: ${error.message}`);
  }
}

function tryForm(method, path, operation, parameters) {
  const fields = parameters.filter((one) => one.in !== "cookie").map((parameter) => {
    const schema = follow(parameter.schema);
    const choices = schema.enum || (schema.type === "boolean" ? ["true", "false"] : null);
    const input = choices
      ? el("select", {}, el("option", { value: "" }, ""), choices.map((value) => el("option", {}, String(value))))
      : el("input", { type: "text", required: parameter.in === "path", spellcheck: "false" });
    return { parameter, input };
  });
  const content = (follow(operation.requestBody) || {}).content;
  let body = null;
  if (content) {
    const types = Object.keys(content);
    body = {
      type: el("select", {}, types.map((type) => el("option", {}, type))),
      text: el("textarea", { spellcheck: "false" }),
    };
    const fill = () => {
      const media = content[body.type.value];
      const sample = () => (/json$/.test(body.type.value) ? json(sampleOf(media.schema, 0)) : "");
      body.text.value = exampleOf(media) || sample();
    };
    body.type.addEventListener("change", fill);
    fill();
  }
  const output = el("div", { "aria-live": "polite" });
  const stop = el("button", { type: "button", hidden: true }, "Stop");
  const go = el("button", { type: "submit" }, "Send");
  let control = null;
  stop.addEventListener("click", () => control && control.abort());
  const submit = async (event) => {
    event.preventDefault();
    control = new AbortController();
    [go.disabled, stop.hidden] = [true, false];
    await send(...requestOf(method, path, fields, body), output, control.signal);
    [go.disabled, stop.hidden] = [false, true];
  };
  return [el("h3", {}, "Try it"), el("form", { on: { submit } },
    fields.map(({ parameter, input }) => el("label", {}, el("span", { class: "mono" }, parameter.name), input)),
    body && [el("label", {}, "Type of the body", body.type), el("label", {}, "Body", body.text)],
    el("div", {}, go, " ", stop)), output];
}

function operationBox(method, path, item, operation) {
  const id = `op-${operation.operationId || `${method}-${path}`}`;
  const box = el("details", { id, "data-words": [method, path, operation.operationId, operation.summary].join(" ").toLowerCase() },
    el("summary", {}, el("span", { class: `method ${method}` }, method.toUpperCase()),
      el("span", { class: "path" }, path), el("span", { class: "what" }, operation.summary || "")));
  let filled = false;
  // Filled when it is opened: there are many.
  box.addEventListener("toggle", () => {
    if (filled || !box.open) return;
    filled = true;
    const parameters = parametersOf(item, operation);
    const body = follow(operation.requestBody);
    box.append(el("div", { class: "inside" },
      operation.deprecated ? el("p", {}, el("strong", {}, "Deprecated.")) : null,
      prose(operation.description), parameterTable(parameters),
      body.content ? [el("h3", {}, body.required ? "Body (required)" : "Body"), prose(body.description), contentOf(body.content)] : null,
      responsesOf(operation), tryForm(method, path, operation, parameters)));
  });
  return box;
}

function showOperations() {
  const groups = new Map((api.tags || []).map((tag) => [tag.name, { about: tag.description, boxes: [] }]));
  for (const [path, item] of Object.entries(api.paths || {})) {
    for (const method of METHODS.filter((name) => item[name])) {
      const operation = item[method];
      for (const tag of operation.tags || ["other"]) {
        if (!groups.has(tag)) groups.set(tag, { about: "", boxes: [] });
        groups.get(tag).boxes.push(operationBox(method, path, item, operation));
      }
    }
  }
  const used = [...groups].filter(([, group]) => group.boxes.length);
  byId("operations").append(...used.map(([name, { about, boxes }]) =>
    el("section", { "aria-labelledby": `tag-${name}` }, el("h2", { id: `tag-${name}` }, name), prose(about), boxes)));
  const links = used.map(([name]) => el("li", {}, el("a", { href: `#tag-${name}` }, name)));
  byId("tags").append(el("ul", {}, links, el("li", {}, el("a", { href: "#schemas-title" }, "schemas"))));
}

function showSchemas() {
  const schemas = Object.entries((api.components || {}).schemas || {});
  byId("schemas").append(el("h2", { id: "schemas-title" }, "Schemas"), ...schemas.map(([name, schema]) =>
    el("details", { id: `schema-${name}` }, el("summary", {}, el("span", { class: "path" }, name), " ",
      el("span", { class: "dim" }, typeOf(schema))),
    el("div", { class: "inside" }, prose(schema.description), fieldsOf(schema, 0),
      schema.example !== undefined ? el("pre", { tabindex: "0" }, json(schema.example)) : null))));
}

/** Shows what has all the words. */
function find() {
  const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of byId("operations").children) {
    let any = false;
    for (const box of section.querySelectorAll(":scope > details")) {
      box.hidden = !words.every((word) => box.dataset.words.includes(word));
      any = any || !box.hidden;
    }
    section.hidden = !any;
  }
}

/** Opens what the address names. */
function jump() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView();
}

async function start() {
  try {
    const key = keyHeader();
    const response = await fetch("openapi.json", { credentials: "omit", headers: key ? [key] : [] });
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    api = await response.json();
  } catch (error) {
    byId("state").textContent = `The description could not be loaded: ${error.message}`;
    return;
  }
  byId("state").hidden = true;
  const info = api.info || {};
  byId("title").textContent = `${info.title || "HTTP interface"} ${info.version || ""}`;
  byId("about").append(...prose(info.description),
    el("p", {}, "For programs: ", el("a", { href: "openapi.json" }, "openapi.json")));
  showOperations();
  showSchemas();
  byId("find").addEventListener("input", find);
  addEventListener("hashchange", jump);
  jump();
}

start();
