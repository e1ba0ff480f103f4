"""Chinese: phrases of Han characters between Chinese punctuation, with no space anywhere."""

# ruff: noqa: RUF001 - full-width punctuation is what Chinese is written with

import random
from typing import Final

from harness.texts.grammar import Grammar, shapes, unlike

COMMA: Final = "，"
NOUNS: Final = """
时间 问题 工作 国家 社会 学生 老师 经济 政府 公司 朋友 孩子 生活 城市 世界 历史 文化 教育 科学 技术 市场 企业 学校 大学
家庭 父母 母亲 父亲 儿子 女儿 哥哥 姐姐 弟弟 妹妹 医生 病人 医院 健康 身体 眼睛 头发 心脏 血液 疾病 药品 食品 水果 蔬菜
米饭 面条 牛奶 咖啡 茶叶 早餐 晚餐 餐厅 厨房 房间 房子 门口 窗户 桌子 椅子 衣服 帽子 鞋子 手机 电脑 电话 电视 网络 软件
数据 信息 系统 程序 机器 汽车 火车 飞机 轮船 自行车 地铁 公路 铁路 桥梁 机场 车站 码头 街道 广场 公园 商店 超市 银行 酒店
图书馆 博物馆 电影院 体育馆 办公室 实验室 工厂 农村 农民 工人 士兵 警察 律师 法官 记者 作家 画家 演员 歌手 导演 运动员
教练 比赛 冠军 足球 篮球 音乐 电影 小说 故事 诗歌 文章 报纸 杂志 新闻 消息 节目 广告 照片 图画 颜色 声音 语言 汉字 英语
句子 词语 意思 思想 精神 感情 爱情 友谊 兴趣 习惯 经验 能力 知识 理论 方法 原因 结果 影响 作用 条件 情况 环境 关系 机会
困难 矛盾 危险 安全 和平 战争 军队 武器 敌人 法律 权利 责任 义务 制度 政策 计划 项目 会议 报告 决定 合同 协议 价格 成本
利润 收入 工资 税收 投资 资金 股票 贸易 产品 商品 质量 数量 标准 规模 速度 温度 重量 面积 距离 高度 天气 气候 春天 夏天
秋天 冬天 阳光 月亮 星星 天空 云彩 雨水 大雪 台风 地震 洪水 河流 湖泊 海洋 岛屿 山脉 森林 草原 沙漠 土地 石头 金属 木材
煤炭 石油 电力 能源 动物 植物 花朵 树木 鸟类 鱼类 老虎 大象 猴子 熊猫 小狗 小猫 昆虫 蝴蝶 早上 中午 晚上 周末 假期 节日
生日 礼物 婚礼 旅行 行李 护照 地图 方向 北方 南方 东部 西部 中心 边界 首都 省份 县城 村庄 居民 人口 民族 宗教 传统 艺术
铅笔 橡皮 书包 钥匙 雨伞 眼镜 手表 钱包 毛巾 肥皂 牙刷 镜子 剪刀 绳子 蜡烛 灯泡 冰箱 空调 洗衣机 沙发 地毯 窗帘 枕头
厕所 阳台 楼梯 电梯 花园 院子 围墙 屋顶 苹果 香蕉 葡萄 西瓜 草莓 土豆 番茄 白菜 豆腐 鸡蛋 牛肉 羊肉 馒头 饺子 蛋糕 巧克力
建筑 设计 材料 结构 工程 设备 仪器 零件 工具 燃料 电池 屏幕 芯片 模型 算法 实验 数学 物理 化学 生物 医学 哲学 文学 专家
教授 研究生 论文 考试 成绩 作业 课程 教室 校长 主席 总统 部长 市长 代表 委员会 组织 协会 团队 成员 领导 经理 客户 顾客 邻居
"""

VERBS: Final = """
看见 知道 认为 使用 开始 发现 需要 希望 喜欢 学习 研究 发展 提高 解决 进行 参加 组织 建立 支持 帮助 告诉 介绍 讨论 决定
选择 准备 完成 继续 保护 改变 增加 减少 影响 控制 管理 生产 销售 购买 提供 接受 拒绝 要求 允许 禁止 批评 表扬 分析 比较
描述 解释 证明 检查 测量 记录 翻译 阅读 写下 画出 听到 找到 带来 送走 打开 关闭 修理 建造 设计 发明 创造 改善 扩大 缩小
推动 促进 阻止 避免 忘记 记住 相信 怀疑 理解 了解 感谢 欢迎 访问 拜访 离开 回到 经过 穿过 到达 占领 保卫 攻击 放弃 坚持
实现 达到 超过 落后 代替 恢复 收集 整理 出版 发表 宣布 承认 否认 评价 考虑 期待 关心 照顾 培养 训练 运输 储存 节约 浪费
投入 消耗 安装 测试 操作 调查 采访 赞成 反对 通过 修改 执行 违反 遵守 征服 探索 观察 欣赏 模仿 表演 演唱 庆祝 纪念
借用 归还 敲打 擦拭 搬运
"""

ADJECTIVES: Final = """
重要 主要 美丽 漂亮 高兴 快乐 年轻 古老 简单 复杂 容易 困难 安静 热闹 干净 干燥 潮湿 寒冷 温暖 炎热 凉快 便宜 昂贵 普通
特别 著名 伟大 巨大 微小 遥远 清楚 明显 模糊 准确 严格 认真 努力 聪明 勇敢 善良 诚实 温柔 严重 轻松 紧张 危险 安全 健康
现代 传统 先进 落后 丰富 贫穷 富裕 自由 独立 完整 平衡 稳定 强烈 柔软 坚硬 新鲜 陌生 熟悉 奇怪 自然 共同 国际 全国 公共
"""

ADVERBS: Final = "已经 正在 也 都 还 又 就 才 常常 一直 终于 突然 马上 慢慢 仍然 几乎 可能 当然 其实 似乎 从来 逐渐 不断 特意"
PLACES: Final = "北京 上海 中国 广州 台北 香港 成都 西安 南京 武汉 杭州 深圳 云南 四川 新疆 西藏 台湾 高雄 天津 重庆 美国 日本 巴西 欧洲"
PEOPLE: Final = "我们 他们 他 她 我 大家 小王 李明 张老师 陈先生 王小姐 刘教授 林医生 很多人 有人 自己"
TIMES: Final = "今天 昨天 明天 去年 今年 现在 后来 以前 最近 当时 每天 星期一 三年前 二十世纪 上个月 不久以后 这时候 那天晚上"

_SHAPES: Final = {
    "sentence": shapes("""
        {time}，{who}{does}
        {who}{does}，{who}{does}
        {who}{does}，但是{who}{does}
        {who}{does}，所以{who}{does}
        因为{who}{does}，{who}{does}
        虽然{who}{does}，但是{what}很{adjective}
        如果{who}{does}，那么{what}就会更{adjective}
        在{place}，{what}非常{adjective}，{who}{does}
        {what}、{what}和{what}都很{adjective}
        {who}说：“{who}{does}”，{who}{does}
        {what}不但{adjective}，而且{adjective}
        {time}，{place}的{noun}{adverb}{verb}了{what}
        {who}一边{verb}{noun}，一边{verb}{noun}
        对{who}来说，{what}比{what}更{adjective}
        {number}个{noun}里，只有{number}个{verb}{noun}
    """),
    "who": shapes("""
        {person}
        {person}
        这个{noun}
        {place}的{noun}
        {adjective}的{noun}
        {person}的{noun}
        那些{noun}
        {noun}和{noun}
        {number}位{noun}
    """),
    "what": shapes("""
        {noun}
        {adjective}的{noun}
        {noun}的{noun}
        这种{noun}
        {person}的{noun}
        {place}{noun}
    """),
    "does": shapes("""
        {verb}了{what}
        {adverb}{verb}{what}
        在{place}{verb}{what}
        把{noun}{verb}得很{adjective}
        没有{verb}{what}
        想要{verb}{what}
        可以{verb}{what}
        {adverb}去{place}{verb}{noun}
        被{noun}{verb}了
        跟{person}一起{verb}{what}
        是{adjective}的{noun}
        应该先{verb}{noun}，再{verb}{noun}
    """),
}

GRAMMAR: Final = Grammar(
    _SHAPES,
    {
        "noun": NOUNS.split(),
        "verb": VERBS.split(),
        "adjective": ADJECTIVES.split(),
        "adverb": ADVERBS.split(),
        "place": PLACES.split(),
        "person": PEOPLE.split(),
        "time": TIMES.split(),
        "number": ["三", "两", "五", "一", "四", "十", "六", "八", "七", "二十", "一百", "几", "九", "上千"],
    },
)
_SINGLE: Final = "我 你 他 她 好 大 小 多"  # for the smallest sizes; last, since words are what should be met
LEXICON: Final = (
    *unlike(NOUNS.split(), VERBS.split(), ADJECTIVES.split(), PLACES.split(), TIMES.split()),
    *_SINGLE.split(),
)


def write(rng: random.Random) -> str:
    """One sentence, with the end of the one before it at its beginning."""
    return "。" + GRAMMAR.write(rng)
