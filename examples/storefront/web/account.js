import { section, el, api, bus, latest } from "./lib.js";
import { load, change } from "./session.js";

section({
  id: "account",
  title: "Your account",
  intro: "A login is a record in Redis and a cookie that no script can read. All servers and all tabs share it, and the list below can end it from anywhere.",
  mount(root) {
    const body = el("div", { class: "account" });
    root.append(body);
    let shown = null;

    bus.addEventListener("session", ({ detail: { user, demo_accounts, error } }) => {
      if (error && shown === null) body.replaceChildren(away(error));
      if (error || user === shown) return;
      shown = user;
      const focused = body.contains(document.activeElement);
      body.replaceChildren(user ? profile() : login(demo_accounts));
      if (focused) body.querySelector(".who, #user").focus();
    });
  },
});

// away stands where it is not known who is logged in.
function away(error) {
  return el("div", {}, el("p", { class: "error", role: "alert" }, error.message),
    el("div", { class: "actions" }, el("button", { type: "button", click: load }, "Try again")));
}

// login is the form for those who are not logged in.
function login(accounts) {
  const user = el("input", { id: "user", required: true, maxlength: "64", autocomplete: "username", autocapitalize: "none", spellcheck: "false" });
  const password = el("input", { id: "password", type: "password", required: true, maxlength: "72", autocomplete: "current-password" });
  const button = el("button", { class: "primary" }, "Log in");
  const error = el("p", { class: "error", role: "alert" });
  const demo = ({ user: name, password: secret }) => el("li", {},
    el("button", { type: "button", class: "link", click: () => { user.value = name; password.value = secret; button.focus(); } }, name),
    " with the password “" + secret + "”");
  return el("div", { class: "login" },
    el("form", {
      class: "credentials",
      async submit(event) {
        event.preventDefault();
        button.disabled = true;
        error.textContent = "";
        try {
          await change("POST", "/login", { user: user.value, password: password.value });
          // Is the cookie there? A script cannot see it, but the server can.
          if ((await load()).user === "") {
            throw new Error("The login was right, but your browser did not keep the cookie: over plain http it does so only for localhost. See -insecure-cookie in the README.");
          }
        } catch (err) {
          error.textContent = err.message;
          password.select();
        } finally {
          button.disabled = false;
        }
      },
    },
    el("div", { class: "field" }, el("label", { for: "user" }, "User"), user),
    el("div", { class: "field" }, el("label", { for: "password" }, "Password"), password),
    el("div", { class: "actions" }, button), error),
    el("div", { class: "demo" }, el("h3", { class: "small" }, "Demo accounts"), el("ul", { class: "links" }, accounts.map(demo))));
}

// profile is what those see who are logged in.
function profile() {
  const who = el("p", { class: "who", tabindex: "-1" });
  const list = el("ul", { class: "devices" });
  const others = el("button", { type: "button", hidden: true, click: () => ask("DELETE", "/devices") }, "Sign out all others");
  const error = el("p", { class: "error", role: "alert" });
  const begin = latest();

  // ask shows the list of devices that a request answers with.
  async function ask(method, path) {
    const current = begin();
    error.textContent = "";
    try {
      const { devices } = await api(path, { method });
      if (!current()) return;
      list.replaceChildren(...devices.map(device));
      others.hidden = devices.length < 2;
    } catch (err) {
      fail(err);
    }
  }

  function fail(err) {
    error.textContent = err.message;
    if (err.status === 401) load(); // somebody has signed this browser out
  }

  function device(d) {
    return el("li", { "data-handle": d.handle },
      el("span", { class: "device-name" }, d.device, d.current && el("span", { class: "badge badge-cache" }, "this one")),
      el("span", { class: "card-meta" }, `Since ${moment(d.created)} · last seen ${moment(d.seen)}`),
      !d.current && el("button", { type: "button", "aria-label": "Sign out " + d.device, click: () => ask("DELETE", "/devices/" + d.handle) }, "Sign out"));
  }

  api("/profile").then((p) => { who.textContent = `${p.name}, ${p.city}`; }, fail);
  ask("GET", "/devices");
  return el("div", { class: "profile" },
    el("div", { class: "me" }, who,
      el("button", { type: "button", click: () => change("POST", "/logout").catch(fail) }, "Log out")),
    el("h3", { class: "small" }, "Your devices"), list,
    el("div", { class: "actions" },
      el("button", { type: "button", click: () => ask("GET", "/devices") }, "Look again"), others), error);
}

const clock = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const moment = (time) => clock.format(new Date(time));
