// Subscribes by a client of the npm world and prints each result as a line of JSON.
// node subscribe.mjs ws|sse|apollo URL QUERY COUNT [VARIABLES]
import { ApolloClient, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createWsClient } from 'graphql-ws';
import WebSocket from 'ws';

const [, , kind, url, query, count, given] = process.argv;
const variables = given ? JSON.parse(given) : {};
const socketUrl = url.replace(/^http/, 'ws');
let left = Number(count);

function sockets() {
  return createWsClient({
    url: socketUrl,
    webSocketImpl: WebSocket,
    shouldRetry: () => true,
    retryAttempts: 100,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 100)),
    on: { connected: () => console.log('"connected"') },
  });
}

function told(result) {
  console.log(JSON.stringify(result));
  left -= 1;
  if (left <= 0) process.exit(0);
}

const sink = {
  next: told,
  error: (error) => {
    console.log(JSON.stringify({ failed: Array.isArray(error) ? error : String(error) }));
    process.exit(1);
  },
  complete: () => {
    console.log('"complete"');
    process.exit(0);
  },
};

if (kind === 'ws') {
  sockets().subscribe({ query, variables }, sink);
} else if (kind === 'sse') {
  const client = createSseClient({ url, retryAttempts: 20, onMessage: undefined });
  client.subscribe({ query, variables }, sink);
  console.log('"connected"');
} else {
  const client = new ApolloClient({ link: new GraphQLWsLink(sockets()), cache: new InMemoryCache() });
  client.subscribe({ query: gql(query), variables }).subscribe(sink);
}
