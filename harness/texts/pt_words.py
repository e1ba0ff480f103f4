"""Portuguese words, the frequent ones first: nouns by gender, and what is inflected by `harness.texts.pt`."""

from typing import Final

MASCULINE: Final = """
ano dia tempo governo país homem trabalho mundo lugar caso filho grupo povo presidente problema projeto processo
estado número mês jogo livro dinheiro programa sistema amigo pai irmão menino professor aluno médico caminho
carro nome corpo momento lado meio mercado preço serviço produto resultado banco partido ministro prefeito
município bairro prédio apartamento quarto banheiro escritório jornal jornalista leitor autor escritor artista
cantor ator filme teatro museu estádio time jogador torcedor campeonato campeão técnico esporte rio mar céu sol
vento calor inverno verão outono café pão feijão arroz açúcar leite almoço jantar mercadinho supermercado restaurante
hospital remédio paciente enfermeiro coração pulmão sangue cérebro olho braço pescoço joelho dedo cabelo sorriso
barulho silêncio segredo sonho medo desejo amor ódio orgulho ciúme cansaço avião aeroporto trem ônibus caminhão
motor pneu combustível petróleo gás computador celular aplicativo arquivo documento relatório orçamento imposto
salário emprego desemprego patrão funcionário sindicato contrato investimento lucro prejuízo juiz advogado crime
policial ladrão prisioneiro tribunal direito dever cidadão eleitor candidato deputado senador governador exército
soldado general inimigo tratado acordo conflito povoado sertão litoral cerrado rebanho agricultor fazendeiro
algodão milho limão mamão abacaxi jacaré macaco cachorro gato cavalo passarinho peixe camarão irmãozinho avô tio primo
vizinho vendedor cliente comerciante empresário engenheiro pesquisador cientista laboratório experimento planeta
"""

FEMININE: Final = """
vida casa pessoa mulher cidade coisa vez parte forma hora noite semana escola história empresa família questão
situação informação educação população organização produção condição razão relação posição decisão opinião
televisão canção eleição nação região estação operação construção instituição criança mãe filha irmã menina amiga
professora médica aluna água terra praia montanha floresta chuva lua estrela nuvem manhã tarde palavra língua frase
página carta mensagem notícia imprensa revista lei justiça polícia segurança saúde doença dor febre cabeça mão perna
pele boca voz alma cor luz sombra mesa cadeira cama janela porta parede cozinha sala rua avenida praça calçada ponte
estrada viagem passagem mala bagagem moeda nota conta dívida taxa inflação crise economia indústria fábrica máquina
ferramenta peça obra reforma energia eletricidade bateria tela rede internet tecnologia ciência pesquisa teoria
prática prova experiência universidade faculdade biblioteca aula lição pergunta resposta dúvida certeza verdade mentira
vontade coragem esperança saudade alegria tristeza raiva paciência amizade festa música dança novela fotografia
comida fruta maçã laranja banana manga farinha carne galinha vaca abelha formiga borboleta cobra onça ilha baía
costa margem fronteira capital província aldeia favela comunidade associação reunião votação campanha promessa
"""

ADJECTIVES: Final = """
grande novo bom pequeno velho público brasileiro social político importante último próximo alto melhor possível
antigo bonito difícil fácil forte fraco rico pobre feliz triste livre cheio vazio limpo sujo quente frio jovem
nacional internacional municipal federal estadual rural urbano econômico financeiro histórico científico técnico
médico jurídico religioso cultural artístico moderno tradicional popular famoso desconhecido verdadeiro falso claro
escuro branco preto vermelho amarelo azul verde longo curto largo estreito profundo raso pesado leve rápido lento
calmo nervoso cansado satisfeito preocupado curioso inteligente simpático generoso corajoso tímido sério engraçado
estranho comum raro necessário inútil suficiente disponível responsável tropical amazônico nordestino paulista
"""

AR: Final = """
ficar falar chegar passar levar deixar encontrar começar achar olhar tomar ganhar pagar comprar usar trabalhar mostrar
chamar entrar mudar criar ajudar esperar lembrar procurar tentar acabar gostar pensar apresentar considerar aumentar
participar realizar informar anunciar aprovar explicar observar preparar analisar publicar comparar organizar
transformar abandonar atravessar carregar cozinhar desenhar emprestar enfrentar exportar consertar inaugurar
"""
ER: Final = """
vender entender receber perder conhecer aprender escrever correr viver responder resolver prometer defender escolher
oferecer acontecer parecer esquecer merecer descrever percorrer beber comer
"""
IR: Final = """
abrir decidir discutir permitir dividir assistir definir existir insistir garantir reunir partir transmitir
imprimir exibir proibir
"""

ADVERBS: Final = """
não também já ainda sempre hoje agora só nunca depois bem mal logo quase talvez aqui ali ontem amanhã cedo geralmente
rapidamente realmente normalmente infelizmente certamente devagar frequentemente atualmente finalmente simplesmente
"""

NAMES: Final = """
João Maria Brasil Ana Pedro Paulo Lucas Júlia Antônio Francisca Luís Beatriz Rafael Conceição Sebastião Letícia
Fernando Luísa Mateus Tereza Estêvão Inês Otávio Íris Salvador Goiânia Brasília Maceió Florianópolis Belém
"""

NUMBERS: Final = "dois três quatro cinco 10 seis sete 12 oito 20 nove 30 100 150"
YEARS: Final = "2020 2019 2022 2014 2010 2002 1994 1988 1964 1930 1889 1822"
