"""The page in a real browser: `run.py BINARY AXE [PICTURES]`, where AXE is the folder of axe-core.

Everything listens on 127.0.0.1 at ports that were free. One scene after another; the first thing that is wrong ends it.
"""

import sys
import tempfile
import time
from pathlib import Path

from chromium import Chromium
from provider import LOST, Provider
from scene import Exporter, ask, five, nothing, thousand, until

SIZES = [(360, 780), (768, 1024), (1440, 1000)]
# all rules of WCAG 2.2 at levels A and AA, and what else the checker holds for good practice
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
REFRESH = "document.dispatchEvent(new Event('visibilitychange'))"


class Judge:
    """What must hold of every look at the page."""

    def __init__(self, axe, pictures):
        self.axe = (axe / "axe.min.js").read_text("utf-8")
        self.pictures = pictures
        self.looks = 0

    def look(self, tab, url, name):
        """Nothing is complained of, loaded from elsewhere or wider than the screen, and the checker finds nothing."""
        self.looks += 1
        assert not tab.complaints, f"{name}: {tab.complaints}"
        strangers = [asked for asked in tab.requests if not asked.startswith((url, "data:"))]
        assert not strangers, f"{name}: {strangers}"
        room, taken = tab.run("[document.documentElement.clientWidth, document.documentElement.scrollWidth]")
        assert taken <= room, f"{name}: {taken} px wide on a screen of {room} px"
        if self.pictures:
            tab.picture(self.pictures / f"{name}.png")
        if not tab.run("typeof axe === 'object'"):
            tab.run(self.axe)
        found = tab.run(f"axe.run(document, {{runOnly: {RULES}, resultTypes: ['violations']}}).then(all => all.violations)")
        told = [f"{each['id']}: {each['help']}: {node['html']}" for each in found for node in each["nodes"][:3]]
        assert not told, f"{name}:\n" + "\n".join(told)


def every_look(browser, judge, exporter, name, themes=((False, True),) * 3, zooms=((1440, 2), (640, 2))):
    with browser.tab() as tab:
        tab.open(f"{exporter.url}/")
        for (width, height), colours in zip(SIZES, themes, strict=True):
            for dark in colours:
                tab.shape(width, height, dark)
                judge.look(tab, exporter.url, f"{name}-{width}-{'dark' if dark else 'light'}")
        tab.run("for (const each of document.querySelectorAll('details')) each.open = true")
        # twice as large, and as narrow as the guidelines go
        for width, zoom in zooms:
            tab.shape(width, zoom=zoom)
            judge.look(tab, exporter.url, f"{name}-{width}-zoom-{zoom}")


def states_are_told(browser, judge, exporter):
    told = {account["account"]: account["states"] for account in exporter.accounts()["accounts"]}
    assert "critical" in told["kumasi-payouts"] and "backing_off" in told["freetown-refused"], told
    assert "stale" in told["monrovia-lost"] and "throttled" in told["lagos-throttled"], told
    with browser.tab() as tab:
        tab.open(f"{exporter.url}/")
        text = tab.run("document.body.innerText")
        for said in ("4 accounts need attention.", "withdrawn; last read", "throttled until ", "per minute used", "310.25", "Failed"):
            assert said in text, f"{said} is not said:\n{text}"
        first = tab.run("document.querySelector('tbody tr .name').textContent")
        assert first == "kumasi-payouts", f"{first} is not the most urgent"
        # each state is explained behind its badge
        tab.run("document.querySelector('tr a.badge[href=\"#state-stale\"]').click()")
        tab.until("document.getElementById('states').open && document.querySelector('#state-stale:target') !== null", "the state")
        judge.look(tab, exporter.url, "states")


def without_a_script(browser, judge, exporter):
    with browser.tab(width=768, height=1024, script=False) as tab:
        tab.open(f"{exporter.url}/")
        # the checker waits by timers, which are scripts; those of the page do not start any more
        tab.let_scripts_run(True)
        judge.look(tab, exporter.url, "no-script")
        tab.let_scripts_run(False)
        assert tab.run("document.getElementById('pause')") is None, "a control that does nothing"
        tab.run("document.querySelector('input[name=q]').focus()")
        tab.type("treasury")
        tab.events.clear()
        tab.press("Enter")
        tab.wait_for("Page.loadEventFired")
        assert tab.run("[...document.querySelectorAll('tbody .name')].map(e => e.textContent)") == ["accra-payouts"]
        tab.follow("document.querySelector('.poll button').click()")
        said = tab.run("document.body.innerText")
        assert "accra-payouts was polled just now" in said or "accra-payouts is polled now" in said, said
        tab.follow("document.querySelector('main a').click()")
        assert tab.run("document.querySelectorAll('tbody tr').length") == 5


def by_keyboard(browser, exporter):
    with browser.tab() as tab:
        tab.open(f"{exporter.url}/")
        reached = []
        for _ in range(80):
            tab.press("Tab")
            what = tab.run(
                "(e => e === document.body ? null : [e.localName, (e.name || e.textContent || '').trim().slice(0, 40),"
                " getComputedStyle(e).outlineStyle !== 'none' || e.matches('input, select')])(document.activeElement)"
            )
            if what is None:
                break
            assert what[2], f"nobody sees that {what} has the focus"
            reached.append(what[1])
        for wanted in ("Skip to the accounts", "q", "sort", "Show", "critical", "Poll now accra-payouts"):
            assert any(each.startswith(wanted) for each in reached), f"{wanted} cannot be reached: {reached}"
        assert reached[0] == "Skip to the accounts", reached
        tab.open(f"{exporter.url}/")
        tab.press("?", text="?", shift=True)
        assert tab.run("document.getElementById('states').open"), "the question mark explains"
        tab.press("?", text="?", shift=True)
        assert not tab.run("document.getElementById('states').open")
        tab.run("document.querySelector('input[name=q]').focus()")
        tab.press("?", text="?", shift=True)
        assert tab.run("document.querySelector('input[name=q]').value") == "?", "in the search it is a character"


def quietly(browser, exporter, provider):
    """What is open, typed, chosen and scrolled to outlives a refresh."""
    with browser.tab(width=768, height=500) as tab:
        tab.open(f"{exporter.url}/?sort=name")
        tab.run("document.querySelector('[id$=\"freetown-refused\"] details').open = true")
        tab.run("document.querySelector('input[name=q]').focus()")
        tab.type("half a wo")
        tab.run("scrollTo(0, 700)")
        before = tab.run("[scrollY, document.querySelector('[id$=\"monrovia-lost\"] .unknown') !== null]")
        assert before[1], "its balance is withdrawn"
        provider.balances[100 + LOST] = 61_000.5
        provider.lost.clear()
        until(lambda: exporter.account("bridge-lr/monrovia-lost")["wallets"][0]["spendable"] == "61000.5", 30, "a new balance")
        tab.run(REFRESH)
        tab.until("document.querySelector('[id$=\"monrovia-lost\"] .amount')?.textContent === '61,000.5'", "the refresh")
        after = tab.run(
            "[scrollY, document.querySelector('input[name=q]').value, document.activeElement.name,"
            " document.querySelector('[id$=\"freetown-refused\"] details').open, document.querySelectorAll('#pause').length]"
        )
        assert after == [before[0], "half a wo", "q", True, 1], f"{before} {after}"
        assert not tab.complaints, tab.complaints


def by_itself(browser, exporter):
    """A tab that nobody touches; the function that is returned looks whether it has kept up."""
    tab = browser.tab()
    tab.open(f"{exporter.url}/")
    first = tab.run("document.querySelector('#refreshed time').dateTime")

    def look():
        with tab:
            tab.until(f"document.querySelector('#refreshed time').dateTime !== {first!r}", "a refresh that nobody asks for")
            assert not tab.complaints, tab.complaints

    return look


def polls_on_request(browser, exporter, provider):
    with browser.tab() as tab:
        tab.open(f"{exporter.url}/?q=throttled")
        tab.run("document.querySelector('.poll button').click()")
        tab.until("document.querySelector('.poll output').textContent.includes('its provider asked for a pause')", "the refusal")
        # a page of somebody else has its form sent, and nothing comes of it
        target = f"{exporter.url}/api/v1/accounts/bridge-gh/kumasi-payouts/poll"
        tab.open(f"{provider.url}/?{target}")
        tab.follow("document.querySelector('button').click()")
        assert "a page of another site" in tab.run("document.body.innerText"), tab.run("document.body.innerText")


def amounts_are_hidden(browser, judge, exporter):
    exporter.hide(True)
    for width, height in SIZES[::2]:
        with browser.tab(width=width, height=height) as tab:
            tab.open(f"{exporter.url}/")
            text = tab.run("document.querySelector('main').outerHTML")
            for amount in ("61000", "61,000", "310.25", "1204", "1,204", "731", "4,000", "1,500", "class=\"bar good"):
                assert amount not in text, f"{amount} is there"
            assert "hidden" in text
            judge.look(tab, exporter.url, f"hidden-{width}")
    assert not any(wallet[key] for account in exporter.accounts()["accounts"] for wallet in account["wallets"] for key in ("spendable", "line", "thresholds"))
    exporter.hide(False)


def nobody_answers(browser, exporter):
    """An open page must not show an amount for longer than it is fresh."""
    with browser.tab() as tab:
        tab.open(f"{exporter.url}/?q=accra")
        tab.run("document.querySelector('tbody tr').dataset.freshFor = 0")
        exporter.stop()
        tab.run(REFRESH)
        tab.until("document.getElementById('lost').textContent.includes('could not be refreshed')", "the warning")
        tab.until("getComputedStyle(document.querySelector('.amount')).visibility === 'hidden'", "the withdrawal")


def many(browser, exporter):
    with browser.tab(width=1440) as tab:
        tab.open(f"{exporter.url}/")
        assert tab.run("document.querySelectorAll('tbody tr').length") == 50
        assert "1,000" in tab.run("document.querySelector('.headline').textContent")
        names = tab.run("[...document.querySelectorAll('tbody .name')].slice(0, 5).map(e => e.textContent)")
        assert names == [f"merchant-{number:04}" for number in (77, 500, 777, 7, 900)] or names[0] == "merchant-0077", names
        tab.follow("document.querySelector('#pages a[aria-label=\"Page 2\"]').click()")
        assert tab.run("document.querySelector('#pages p').textContent") == "Accounts 51 to 100 of 1,000"
        tab.follow("document.querySelector('th a[href*=\"sort=name\"]').click()")
        assert tab.run("document.querySelector('tbody .name').textContent") == "merchant-0000"


def behind_a_password(browser, binary, folder, provider):
    with Exporter(binary, folder, "guarded", nothing(provider.url), users=True) as exporter:
        for path in ("/", "/api/v1/accounts", "/api/v1/openapi.json", "/health/accounts/a/b"):
            assert ask(f"{exporter.url}{path}").status == 401, path
        assert ask(f"{exporter.url}/api/v1/accounts/a/b/poll", "POST").status == 401
        with browser.tab() as tab:
            tab.send("Network.setExtraHTTPHeaders", headers={"Authorization": "Basic YWxpOm9wZW4tc2VzYW1l"})
            tab.open(f"{exporter.url}/")
            assert "No accounts yet." in tab.run("document.body.innerText")
            assert not tab.complaints, tab.complaints


def main():
    binary, axe = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    pictures = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    judge = Judge(axe, pictures)
    began = time.monotonic()

    def done(what):
        print(f"- {what}, after {time.monotonic() - began:.0f} s", flush=True)

    with tempfile.TemporaryDirectory(prefix="balance-exporter-page-") as folder, Provider() as provider, Chromium() as browser:
        folder = Path(folder)
        with Exporter(binary, folder, "nothing", nothing(provider.url)) as exporter:
            every_look(browser, judge, exporter, "0")
            done("no accounts")
        with Exporter(binary, folder, "five", five(provider.url)) as exporter:
            exporter.wait_until_ready()
            provider.lost.set()
            kept_up = by_itself(browser, exporter)
            without_a_script(browser, judge, exporter)
            done("without a script")
            until(lambda: "stale" in exporter.account("bridge-lr/monrovia-lost")["states"], 20, "a withdrawn balance")
            states_are_told(browser, judge, exporter)
            every_look(browser, judge, exporter, "5")
            done("five accounts, each in a state of its own")
            by_keyboard(browser, exporter)
            done("by keyboard")
            polls_on_request(browser, exporter, provider)
            quietly(browser, exporter, provider)
            done("refreshed quietly, polled on request")
            kept_up()
            amounts_are_hidden(browser, judge, exporter)
            done("amounts hidden")
            nobody_answers(browser, exporter)
            done("nobody answers")
        behind_a_password(browser, binary, folder, provider)
        done("behind a password")
        with Exporter(binary, folder, "thousand", thousand(provider.url)) as exporter:
            exporter.wait_until_ready()
            many(browser, exporter)
            every_look(browser, judge, exporter, "1000", [[False], [True], [False]], [(640, 2)])
            done("a thousand accounts")
    print(f"{judge.looks} looks without a finding, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
