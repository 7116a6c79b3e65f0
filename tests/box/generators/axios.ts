// Sends with the TypeScript client that openapi-generator generates; run by ../../test_generators.py.
import { isAxiosError } from "axios";
import { Configuration, SendingApi, TrackingApi } from "./typescript-axios";

const [url, key, clientId] = process.argv.slice(2);

async function main(): Promise<void> {
  const configuration = new Configuration({ basePath: url, apiKey: key });
  const sending = new SendingApi(configuration);
  const tracking = new TrackingApi(configuration);
  const one = await sending.send(clientId, { to: "+33612345678", message: "Bonjour", priority: "high" });
  const two = await sending.send(clientId, { to: "+33612345678", message: "Bonjour", priority: 2 });
  const status = await tracking.status(one.data.message_id, clientId);
  const history = await tracking.history(clientId, undefined, 2);
  let refused = "";
  try {
    await sending.send(clientId, { to: "+33000", message: "x" });
  } catch (error) {
    if (!isAxiosError(error)) throw error;
    refused = error.response?.data.error.code;
  }
  console.log(JSON.stringify({
    sent: [one.data.message_id, two.data.message_id],
    priorities: [one.data.priority, two.data.priority],
    status: status.data.message_id,
    listed: history.data.data.map((message) => message.message_id),
    refused,
  }));
}

main().catch((error) => { console.error(error); process.exit(1); });
