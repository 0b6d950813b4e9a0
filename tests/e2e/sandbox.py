"""The pretend providers: what they answered, what they were asked, and trouble on demand."""

import json

from answer import ask
from program import Program


class Sandbox(Program):
    def __init__(self, binary, directory, logs, name="sandbox", more=()):
        arguments = [binary, "sandbox", "--still", "--web.listen-address", "127.0.0.1:0", "--write-config", directory]
        super().__init__(name, [*arguments, *more], logs)
        self.url = self.address(r"on (http://[0-9.:]+)/") + "/-/sandbox"

    def state(self):
        return ask(self.url).json

    def reported(self):
        """What each account was last told: (provider, account, wallet, currency, figure) to decimal text."""
        told = {}
        for account in self.state()["accounts"]:
            for balance in account["last_reported"] or []:
                for figure in ("amount", "available", "frozen", "credit_limit"):
                    if figure in balance:
                        place = (account["provider"], account["account"], balance["wallet"], balance["currency"])
                        told[*place, figure] = balance[figure]
        return told

    def order(self, provider, account, **change):
        answer = ask(f"{self.url}/accounts/{provider}/{account}", "PUT", body=json.dumps(change))
        assert answer.status == 200, f"{provider}/{account} {change}: {answer.text}"

    def expire_tokens(self):
        assert ask(f"{self.url}/tokens/expire", "POST").status == 200

    def arrivals(self):
        return ask(f"{self.url}/arrivals").json["arrivals"]

    def broken_rules(self):
        """Everything that a real provider would have refused, by provider."""
        state = self.state()
        broken = {name: desk["violations"] for name, desk in state["providers"].items() if desk["violations"]}
        if state["strays"]:
            broken["no provider"] = state["strays"]
        return broken

    def limits(self):
        windows = {name: desk["limits"] for name, desk in self.state()["providers"].items()}
        return {name: [(each["requests"], each["per_seconds"]) for each in limits] for name, limits in windows.items()}
