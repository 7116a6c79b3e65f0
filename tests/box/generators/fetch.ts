// Sends with the types that openapi-typescript generates; run by ../../test_generators.py.
import createClient from "openapi-fetch";
import type { paths } from "./openapi-typescript";

const [baseUrl, key, clientId] = process.argv.slice(2);
const box = createClient<paths>({ baseUrl, headers: { "X-API-Key": key } });
const header = { "X-Client-ID": clientId };

async function main(): Promise<void> {
  const sent = [];
  for (const priority of ["high", 2] as const) {
    const body = { to: "+33612345678", message: "Bonjour", priority };
    const { data, error } = await box.POST("/v1/sms/send", { params: { header }, body });
    if (!data) throw new Error(error.error.code);
    sent.push(data);
  }
  const path = { message_id: sent[0].message_id };
  const status = await box.GET("/v1/sms/status/{message_id}", { params: { header, path } });
  const history = await box.GET("/v1/sms/history", { params: { header, query: { limit: 2 } } });
  const refused = await box.POST("/v1/sms/send", { params: { header }, body: { to: "+33000", message: "x" } });
  console.log(JSON.stringify({
    sent: sent.map((each) => each.message_id),
    priorities: sent.map((each) => each.priority),
    status: status.data?.message_id,
    listed: history.data?.data.map((message) => message.message_id),
    refused: refused.error?.error.code,
  }));
}

main().catch((error) => { console.error(error); process.exit(1); });
