"""The style sheet of report.html: light and dark on screens, light on paper, narrow on telephones.

Wide tables scroll inside their box, their first column stays. Numbers stand under each other.
"""

from typing import Final

CSS: Final = """
:root{--bg:#f4f6f8;--card:#fff;--ink:#16202c;--soft:#566372;--rule:#dfe4ea;--link:#0b5cad;--hover:#f4f7fa;
--good:#0b7a4b;--doubt:#8f5400;--bad:#b3261e;--doubt-bg:#fff8ea;--bad-bg:#fdf0ee;color-scheme:light}
@media screen and (prefers-color-scheme:dark){:root{--bg:#0f141a;--card:#171e27;--ink:#e6ebf1;--soft:#9aa8b8;--rule:#2b3542;
--link:#7db4ff;--hover:#1c2530;--good:#4cc38a;--doubt:#f0b04f;--bad:#ff8a80;--doubt-bg:#251f14;--bad-bg:#2a1a1a;color-scheme:dark}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;overflow-wrap:break-word;background:var(--bg);color:var(--ink);
font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif}
main{max-width:1240px;margin:0 auto;padding:28px 24px 40px}
header{display:flex;justify-content:space-between;align-items:flex-start;gap:8px 24px;margin-bottom:16px}
header>div{min-width:0}
h1{font-size:22px;line-height:1.25;margin:0;font-weight:650;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:15px;line-height:1.4;margin:0 0 10px;font-weight:650}
h3{font-size:14px;line-height:1.4;margin:0;font-weight:600}
p{margin:0 0 8px}p,li,dd,td,th{overflow-wrap:anywhere}
.sub{margin:4px 0 0;color:var(--soft);overflow-wrap:anywhere}
.pills{display:flex;flex-wrap:wrap;justify-content:flex-end;gap:6px;margin:2px 0 0}
.pill{padding:2px 12px;border-radius:99px;font-weight:600;font-size:13px;white-space:nowrap;color:var(--good);border:1.5px solid}
.pill.suspect{color:var(--doubt)}.pill.invalid{color:var(--bad)}
section,figure,.tiles{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:14px 16px;margin:0 0 16px}
.doubt.suspect,.doubt.invalid{border-left:4px solid var(--doubt);background:var(--doubt-bg)}
.doubt.invalid{border-left-color:var(--bad);background:var(--bad-bg)}
.doubt p:not(.note){margin:0 0 4px}.doubt ul{margin:0;padding-left:18px}summary{cursor:pointer;color:var(--link);margin:2px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(178px,1fr));padding:0;overflow:hidden}
.tiles>div{min-width:0;padding:12px 16px;box-shadow:1px 0 0 var(--rule),0 1px 0 var(--rule)}
.tiles b{display:block;font-size:26px;line-height:1.2;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tiles b.none{font-size:19px;line-height:1.64;letter-spacing:0}
.tiles span{display:block;line-height:1.35}.tiles small{display:block;color:var(--soft);font-size:12.5px;line-height:1.4;margin-top:2px;overflow-wrap:anywhere}
nav{margin:0 0 16px}nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;margin:0;padding:0}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
.part{scroll-margin-top:12px}
.charts{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 16px}
.charts .whole{grid-column:1/-1}
figure{min-width:0;padding:12px 14px 8px}figcaption .note{margin:2px 0 0}
.plot{min-height:300px;margin-top:6px;overflow:hidden}
.wide{overflow-x:auto;overscroll-behavior-x:contain;margin:0 -16px;padding:0 16px}
.wide+.wide{margin-top:14px}
table{border-collapse:separate;border-spacing:0;width:100%;font-variant-numeric:tabular-nums;font-size:13px;white-space:nowrap}
th,td{padding:5px 8px;text-align:right;border-bottom:1px solid var(--rule);vertical-align:baseline}
thead th{color:var(--soft);font-weight:600;border-bottom:0}thead tr:last-child th{border-bottom:1px solid var(--rule)}
th.group{text-align:center;border-left:1px solid var(--rule)}tbody th{font-weight:600}
th.first,td.first{border-left:1px solid var(--rule)}tbody tr:last-child>*{border-bottom:0}
td small{display:block;color:var(--soft);font-size:11.5px;line-height:1.3}
tbody tr:hover>*{background:var(--hover)}:is(.passes,.segments) :is(th,td):nth-child(2){text-align:left}.passes .mean>*{border-bottom-color:var(--soft)}.passes .mean td{font-weight:600}.passes .mean small{font-weight:400}table.narrow{width:auto;min-width:40%}
.wide tr>th:first-child{position:sticky;left:-16px;background:var(--card);z-index:1}
.doubt.invalid .wide :is(tr>th:first-child,tbody tr:hover>*){background:var(--bad-bg)}
.doubt.suspect .wide :is(tr>th:first-child,tbody tr:hover>*){background:var(--doubt-bg)}
#slo :is(th,td):first-child,.by :is(th,td):first-child{text-align:left}
.failures :is(th,td){text-align:left;white-space:normal;vertical-align:top;overflow-wrap:anywhere}
.failures :is(th,td):first-child{text-align:right;width:1%;white-space:nowrap}
.failures :is(th,td):is(:nth-child(2),:nth-child(3)){width:1%;white-space:nowrap}
.failures td:last-child{min-width:220px}
.workers :is(th,td):is(:first-child,:nth-child(2)){text-align:left}
.workers thead th{white-space:normal;vertical-align:bottom}.workers tbody th{white-space:normal;overflow-wrap:anywhere;min-width:150px}
.workers .odd td:nth-child(2){color:var(--doubt);font-weight:600}.workers .bad td:nth-child(3){color:var(--bad);font-weight:600}
.caption{margin:14px 0 2px;font-weight:600;color:var(--soft);font-size:13px}.note{margin:8px 0 0;color:var(--soft);font-size:12.5px;line-height:1.45}
.columns{columns:2 420px;column-gap:16px}.columns section{break-inside:avoid}
dl{display:grid;grid-template-columns:minmax(110px,max-content) minmax(0,1fr);gap:3px 18px;margin:0;font-size:13px}
dt{color:var(--soft);overflow-wrap:anywhere}dd{margin:0;font-variant-numeric:tabular-nums}
.columns dl{grid-template-columns:minmax(110px,38%) minmax(0,1fr)}
footer{color:var(--soft);font-size:12.5px}
@media screen and (max-width:820px){.charts{grid-template-columns:minmax(0,1fr)}}
@media screen and (max-width:640px){main{padding:16px 12px 28px}header{flex-direction:column}.pills{justify-content:flex-start;margin:0}
h1{font-size:19px}.wide tbody tr>th:first-child{max-width:46vw;white-space:normal;overflow-wrap:break-word}section,figure{padding:12px}.wide{margin:0 -12px;padding:0 12px}.wide tr>th:first-child{left:-12px}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}.tiles>div{padding:10px 12px}.tiles b{font-size:21px}.tiles b.none{font-size:16px;line-height:1.6}
nav ul{flex-wrap:nowrap;overflow-x:auto;white-space:nowrap;margin:0 -12px;padding:2px 12px}
dl.terms{display:block}.terms dt{font-weight:600;margin-top:8px}dl,.columns dl{grid-template-columns:minmax(84px,34%) minmax(0,1fr);gap:4px 12px}
.workers thead{display:none}.workers tbody tr{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:6px 12px;padding:10px 0;
border-bottom:1px solid var(--rule)}.workers tbody tr:last-child{border-bottom:0}.workers tbody tr>*{border:0;padding:0;text-align:left!important;
white-space:normal;overflow-wrap:anywhere}.workers tbody tr>th:first-child{grid-column:1/-1;position:static}
.workers td::before{content:attr(data-of);display:block;color:var(--soft);font-size:12px;font-weight:400}}
@media print{@page{margin:14mm}:root{--bg:#fff;--hover:#fff;--doubt-bg:#fff;--bad-bg:#fff}body{font-size:10.5pt}main{max-width:none;padding:0}nav{display:none}
section,figure,.tiles{border-color:#bbb}section,figure,tr{break-inside:avoid}h2,h3,figcaption{break-after:avoid}
.charts,.columns{display:block;columns:auto}summary{display:none}details::details-content{content-visibility:visible;display:block}.wide{overflow:visible;margin:0;padding:0}table{font-size:6.8pt;white-space:normal}th,td{padding:2px}td small{font-size:6pt}thead th{overflow-wrap:normal}.failures td:last-child{min-width:0}.workers tbody th{min-width:0}
.wide tr>th:first-child{position:static}.tiles{grid-template-columns:repeat(auto-fit,minmax(120px,1fr))}.tiles b{font-size:15pt}}
"""
