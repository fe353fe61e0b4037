// The plain form: sends what was written and shows what came back.
const field = (name) => document.getElementById(name);
const parsed = (name) => (field(name).value.trim() ? JSON.parse(field(name).value) : {});

async function run() {
  const answer = field("answer");
  answer.textContent = "…";
  try {
    const response = await fetch("/graphql", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/graphql-response+json, application/json", ...parsed("headers") },
      body: JSON.stringify({ query: field("query").value, variables: parsed("variables") }),
    });
    answer.textContent = JSON.stringify(await response.json(), null, 2);
  } catch (error) {
    answer.textContent = String(error);
  }
}

field("run").addEventListener("click", run);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
