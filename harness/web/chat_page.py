"""The Chat page's body. No word of a conversation is in it: that is written by its script, as text."""

from html import escape
from typing import TYPE_CHECKING, Final

from harness.chat.choices import MAX_TOKENS

if TYPE_CHECKING:
    from harness.web.site import Site

__all__ = ["body"]


def body(site: "Site") -> str:
    """HTML for <main>."""
    return _BODY.format(sheet=escape(site.url("assets/chat.css")), max_tokens=MAX_TOKENS)


_BODY: Final = """<link rel="icon" href="data:,"><link rel="stylesheet" href="{sheet}">
<div class="head">
 <div><h1>Chat</h1><p class="sub" id="server">Asking the server who it is&hellip;</p></div>
 <p class="note" id="extra-load">A chat is measured as a load's request is, and is in no run's results. During a run it is
 extra load on the system under test. The conversation stays in this page: nothing of it is stored or logged.</p>
</div>
<div class="alert" id="running" hidden>A run is under way: what you ask now is extra load on the system under test, and the run's figures may feel it.</div>
<div class="alert bad" id="trouble" role="alert" hidden></div>
<div class="chat">
 <details class="card settings" id="settings" open><summary><h2>Settings</h2></summary>
  <form id="choices" autocomplete="off">
   <div id="kind-row" hidden><label for="kind">User class</label><select id="kind"></select></div>
   <div><label for="model">Model</label><input id="model" name="model" list="models" placeholder="the server's own" maxlength="300" spellcheck="false"><datalist id="models"></datalist></div>
   <div><label for="api_mode">API mode</label><select id="api_mode" name="api_mode"><option value="">as the load</option></select>
    <p class="note" id="roles" hidden>This route knows no roles: the conversation is sent as one text.</p></div>
   <div><label for="system">System prompt</label><textarea id="system" name="system" rows="3" placeholder="none"></textarea></div>
   <div class="pairs">
    <div><label for="temperature">Temperature</label><input id="temperature" name="temperature" inputmode="decimal" placeholder="server&rsquo;s"></div>
    <div><label for="top_p">Top-p</label><input id="top_p" name="top_p" inputmode="decimal" placeholder="server&rsquo;s"></div>
    <div><label for="max_tokens">Max tokens</label><input id="max_tokens" name="max_tokens" inputmode="numeric" value="{max_tokens}"></div>
    <div><label for="seed">Seed</label><input id="seed" name="seed" inputmode="numeric" placeholder="none"></div>
   </div>
   <div><label for="extra_body">Extra JSON</label><textarea id="extra_body" name="extra_body" rows="2" spellcheck="false" placeholder="{{&quot;top_k&quot;: 40}}"></textarea>
    <p class="note">Fields laid over the request's body<span id="extra-fields"></span>.</p></div>
  </form>
 </details>
 <section class="card talk" aria-label="Conversation">
  <dl class="tiles" aria-label="Medians over the conversation's answers">
   <div><dt>TTFT</dt><dd id="tile-ttft_s">&ndash;</dd><dd class="of">time to first token</dd></div>
   <div><dt>TPOT</dt><dd id="tile-tpot_ms">&ndash;</dd><dd class="of">time per output token</dd></div>
   <div><dt>Throughput</dt><dd id="tile-output_tokens_per_s">&ndash;</dd><dd class="of">of one answer&rsquo;s stream</dd></div>
   <div><dt>Latency</dt><dd id="tile-latency_s">&ndash;</dd><dd class="of">to the last token</dd></div>
  </dl>
  <p class="note" id="medians">Medians over the answers of this conversation will stand above.</p>
  <div class="log" id="log" role="log" aria-live="off" tabindex="0" aria-label="Messages"><p class="empty sub" id="empty">Ask something. Enter sends, Shift+Enter begins a new line.</p></div>
  <form id="ask">
   <label for="question" class="unseen">Your question</label>
   <textarea id="question" rows="2" placeholder="Your question" required></textarea>
   <div class="buttons"><button type="submit" class="primary" id="send">Send</button>
    <button type="button" class="danger" id="stop" disabled>Stop</button>
    <span class="gap"></span>
    <button type="button" id="save" disabled>Download</button>
    <button type="button" id="reset">Reset</button></div>
   <p class="note" id="status" role="status" aria-live="polite"></p>
  </form>
 </section>
</div>"""
