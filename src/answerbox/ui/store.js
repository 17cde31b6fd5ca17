// What the browser remembers: the key, the language, the mode, the conversation. Works without, where it may not.

function safely(use, otherwise = null) {
  try {
    return use();
  } catch {
    return otherwise;
  }
}

const PREFIX = "answerbox.";

export const remembered = (name) => safely(() => localStorage.getItem(PREFIX + name));

export const remember = (name, value) => safely(() => localStorage.setItem(PREFIX + name, value));

let keyWithoutStorage = "";

export function apiKey() {
  const stored = safely(() => sessionStorage.getItem(PREFIX + "key") ?? localStorage.getItem(PREFIX + "key"));
  return stored ?? keyWithoutStorage;
}

export const keyIsKept = () => Boolean(remembered("key"));

/** `keep`: beyond the end of the tab. An empty key forgets. */
export function setApiKey(key, keep) {
  keyWithoutStorage = key;
  safely(() => {
    sessionStorage.removeItem(PREFIX + "key");
    localStorage.removeItem(PREFIX + "key");
    if (key) (keep ? localStorage : sessionStorage).setItem(PREFIX + "key", key);
  });
}

/** 128 random bits; `crypto.randomUUID` is not there over plain HTTP. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

let session = safely(() => sessionStorage.getItem(PREFIX + "session"));

export const sessionId = () => session ?? newSession();

export function newSession() {
  session = newId();
  safely(() => sessionStorage.setItem(PREFIX + "session", session));
  return session;
}
