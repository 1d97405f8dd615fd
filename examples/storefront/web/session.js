import { api, bus, latest } from "./lib.js";

// What the server keeps for this browser, for the sections that show it: each
// "session" event on the bus carries {user, cart, demo_accounts}, or the error that
// kept it from being read.

const begin = latest();
// All tabs of a browser share its session. What one changes the others look at again.
const tabs = new BroadcastChannel("session");
tabs.onmessage = load;

// load asks for the session and shows it.
export async function load() {
  const current = begin();
  const answer = await api("/session").catch((error) => ({ error }));
  if (current()) show(answer);
  return answer;
}

// addToCart puts so many more of a product into the cart; a negative number takes
// some out. It says what to change and not what to become, so that two tabs cannot
// undo each other.
export const addToCart = (product, add) => change("POST", "/cart", { product, add });

// change asks for a change. Its answer is the session as it is then.
export async function change(method, path, body) {
  const current = begin();
  let answer;
  try {
    answer = await api(path, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  } catch (err) {
    if (err.status === 401 && path !== "/login") load(); // somebody has signed this browser out
    throw err;
  }
  tabs.postMessage("changed");
  if (current()) show(answer);
  else load(); // another one was asked for meanwhile, whose answer may be older
  return answer;
}

function show(detail) {
  bus.dispatchEvent(new CustomEvent("session", { detail }));
}
