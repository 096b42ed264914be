// Open-loop load on POST /tokens: so many requests a second, however slow the answers are.
import http from "k6/http";
import { check } from "k6";

export const options = {
  discardResponseBodies: true,
  scenarios: {
    tokens: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 20),
      timeUnit: "1s",
      duration: __ENV.DURATION || "90s",
      preAllocatedVUs: 20,
      maxVUs: 200,
    },
  },
  thresholds: { checks: ["rate==1"] },
};

export default function () {
  const consumer = `consumer-${__ITER % 8}`;
  const headers = { "X-Consumer-ID": consumer, "X-Consumer-Username": consumer };
  const answer = http.post(`${__ENV.AUTH_URL}/tokens`, null, { headers });
  check(answer, { "a token": (response) => response.status === 200 });
}
