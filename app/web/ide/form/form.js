// The plain form: sends what was written and shows what came back.
const field = (name) => document.getElementById(name);

function parsed(name) {
  const text = field(name).value.trim();
  try {
    return text ? JSON.parse(text) : {};
  } catch (error) {
    throw new Error(`The ${name} are not JSON: ${error.message}`);
  }
}

async function run() {
  const answer = field("answer");
  answer.textContent = "…";
  try {
    const headers = new Headers({
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json, application/json",
    });
    for (const [name, value] of Object.entries(parsed("headers"))) headers.set(name, value);
    const body = JSON.stringify({ query: field("query").value, variables: parsed("variables") });
    const response = await fetch("/graphql", { method: "POST", headers, body });
    answer.textContent = JSON.stringify(await response.json(), null, 2);
  } catch (error) {
    answer.textContent = String(error);
  }
}

field("run").addEventListener("click", run);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
