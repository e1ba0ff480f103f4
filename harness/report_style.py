"""The style sheet of report.html, light and dark. Chart classes: s1, s2 series; t1, t2, t3 one series' percentiles."""

from typing import Final

CSS: Final = """
:root{--bg:#f6f7f9;--card:#fff;--ink:#16202c;--soft:#5b6877;--rule:#dfe4ea;--s1:#1f5fd6;--s2:#0b8a6f;
--t1:#7a3b00;--t2:#c2620a;--t3:#e9a23b;--good:#0b7a4b;--doubt:#9a5b00;--bad:#b3261e;--doubt-bg:#fff6e5;--bad-bg:#fdecea}
@media (prefers-color-scheme:dark){:root{--bg:#0f141a;--card:#171e27;--ink:#e6ebf1;--soft:#94a2b3;--rule:#2b3542;
--s1:#6ea4ff;--s2:#3fcda8;--t1:#ffd9a3;--t2:#f2a24b;--t3:#b8701d;--good:#4cc38a;--doubt:#f0b04f;--bad:#ff8a80;
--doubt-bg:#2a2213;--bad-bg:#2e1a19}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:32px 24px 48px}
header{display:flex;justify-content:space-between;align-items:flex-start;gap:16px;margin-bottom:20px}
h1{font-size:26px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:15px;margin:0 0 10px}
.sub{margin:6px 0 0;color:var(--soft);overflow-wrap:anywhere}
.pill{padding:4px 14px;border-radius:99px;font-weight:600;color:var(--card);background:var(--good)}
.pill.suspect{background:var(--doubt)}.pill.invalid{background:var(--bad)}
section,.tiles>div{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:16px 18px;margin-bottom:16px}
.doubt.suspect{background:var(--doubt-bg);border-color:var(--doubt)}
.doubt.invalid{background:var(--bad-bg);border-color:var(--bad)}
.doubt ul{margin:6px 0 0;padding-left:20px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));gap:16px}
.tiles b{display:block;font-size:28px;line-height:1.15;font-variant-numeric:tabular-nums}
.tiles b.none{font-size:20px;line-height:1.61;font-weight:600;color:var(--soft)}
.tiles span{display:block}.tiles small{color:var(--soft)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:0 16px}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font-size:12px}
svg .title{fill:var(--ink);font-size:14px;font-weight:600}
svg .tick.y{text-anchor:end}svg .tick.x,svg .axis,svg .none{text-anchor:middle}
svg .value{text-anchor:middle;font-weight:600;paint-order:stroke;stroke:var(--card)!important;stroke-width:3px}
svg .grid{stroke:var(--rule)}
svg .line,svg .bar{fill:none;stroke-width:2.2;stroke-linejoin:round}svg .band{opacity:.18;stroke:none}
svg .bar{stroke-width:9;opacity:.25}
svg rect{stroke:none}svg rect.s1{fill:var(--s1)}svg rect.s2{fill:var(--s2)}svg rect.t2{fill:var(--t2)}
svg .at-bar{fill:var(--ink);font-weight:600}
svg .s1{stroke:var(--s1)}svg .s2{stroke:var(--s2)}svg .t1{stroke:var(--t1)}svg .t2{stroke:var(--t2)}svg .t3{stroke:var(--t3)}
svg .dot.s1{fill:var(--s1)}svg .dot.s2,svg .band.s2{fill:var(--s2)}svg .dot.t1{fill:var(--t1)}
svg .dot.t2{fill:var(--t2)}svg .dot.t3{fill:var(--t3)}
svg text.name{stroke:none;font-weight:600}svg text.s1{fill:var(--s1)}svg text.s2{fill:var(--s2)}
svg text.t1{fill:var(--t1)}svg text.t2{fill:var(--t2)}svg text.t3{fill:var(--t3)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px;white-space:nowrap}
th,td{padding:6px 8px;text-align:right;border-bottom:1px solid var(--rule)}
thead th{color:var(--soft);font-weight:600}th.group{text-align:center;border-left:1px solid var(--rule)}
th.first,td.first{border-left:1px solid var(--rule)}tbody tr:last-child>*{border-bottom:0}
.failures :is(th,td){text-align:left;white-space:normal;vertical-align:top;overflow-wrap:anywhere}
.failures :is(th,td):first-child{text-align:right;width:1%;white-space:nowrap}
.failures :is(th,td):is(:nth-child(2),:nth-child(3)){width:1%;white-space:nowrap}
.workers :is(th,td):is(:first-child,:nth-child(2)){text-align:left}
.workers :is(th,td){padding:6px}.workers thead th{white-space:normal;vertical-align:bottom}.workers tbody th{white-space:normal;overflow-wrap:anywhere;min-width:150px}
.workers .odd td:nth-child(2){color:var(--doubt);font-weight:600}.workers .bad td:nth-child(3){color:var(--bad);font-weight:600}
@media (max-width:720px){.workers thead{display:none}.workers tr{display:grid;grid-template-columns:repeat(3,1fr);gap:6px 12px;padding:10px 0;
border-bottom:1px solid var(--rule)}.workers tbody tr:last-child{border-bottom:0}.workers :is(th,td){border:0;padding:0;text-align:left!important;
white-space:normal;overflow-wrap:anywhere}.workers tbody th{grid-column:1/-1}.workers td::before{content:attr(data-of);display:block;
color:var(--soft);font-size:12px;font-weight:400}}
.note{margin:8px 0 0;color:var(--soft);font-size:13px}
.columns{columns:2 420px;column-gap:16px;margin-bottom:16px}.columns section{break-inside:avoid}
dl{display:grid;grid-template-columns:minmax(130px,max-content) 1fr;gap:4px 18px;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
footer{color:var(--soft);font-size:13px}a{color:var(--s1)}
@media print{body{background:#fff}section{break-inside:avoid}}
"""
