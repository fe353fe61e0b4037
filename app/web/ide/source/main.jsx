// GraphiQL over this gateway: headers stay in memory, and nothing is asked of another host.
import { explorerPlugin } from "@graphiql/plugin-explorer";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createClient } from "graphql-ws";
import { createRoot } from "react-dom/client";
import { createElement } from "react";
import "graphiql/graphiql.css";
import "@graphiql/plugin-explorer/dist/style.css";
import { storage } from "./storage.js";
import "./page.css";

const place = document.getElementById("graphiql");
const address = new URL("/graphql", window.location.href);
const socket = new URL(address);
socket.protocol = socket.protocol.replace("http", "ws");

// A socket is opened with the headers of the page, as its token is among them; other headers take another socket.
let client, openedWith;

function clientFor(headers) {
  const given = JSON.stringify(headers);
  if (given !== openedWith) {
    client?.dispose();
    client = createClient({ url: socket.href, lazy: true, connectionParams: headers });
    openedWith = given;
  }
  return client;
}

function fetcher(params, options) {
  const wsClient = clientFor(options?.headers ?? {});
  return createGraphiQLFetcher({ url: address.href, wsClient })(params, options);
}

createRoot(place).render(
  createElement(
    GraphiQL,
    {
      fetcher,
      storage,
      plugins: [explorerPlugin()],
      defaultQuery: place.dataset.query,
      defaultEditorToolsVisibility: true,
      isHeadersEditorEnabled: true,
      shouldPersistHeaders: false,
    },
    createElement(GraphiQL.Logo, null, "Balance gateway"),
  ),
);
