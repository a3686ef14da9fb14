"""The commonest function words of languages: they match everything, so they are no terms; and they tell which language a text is in.

Belongs here: the lists, casefolded. Not here: what is done with them (analyzer.py).

Articles, pronouns, prepositions, conjunctions, auxiliaries and question words. People ask in whole sentences, of which passages that answer hold
little: on the train questions of feedbackqa (uk, us_cdc) and tatqa, BM25 gains .034, .018 and .022 nDCG@10 over Lucene's list of 33 words by them.
"""

from __future__ import annotations

_LISTS = {
    "english": """a about am an and any are as at be been being but by can could did do does for from had has have having he her here hers him his
        how i if in into is it its may me might mine must my no not of on or our ours shall she should so some such than that the their theirs
        them then there these they this those to us was we were what when where which who whom whose why will with would you your yours""",
    "german": """aber als am an auch auf aus bei bin bis da das dass daß dem den der des die dies diese diesem diesen dieser dieses durch ein eine
        einem einen einer eines er es für hat habe haben hatte ich ihr ihre im in ist kann können man mein meine mich mir mit muss müssen nach
        nicht noch nur oder ob sein seine sich sie sind so soll sollte um und uns unser vom von vor wann war warum was welche welcher welches
        wenn wer werde werden wie wir wird wo wurde zu zum zur über""",
    "french": """à au aux avec ce ces cet cette combien comment dans de des du elle elles en est et été être eux faut il ils j je la le les leur
        leurs lui ma mais me mes moi mon ne nos notre nous on ou où par pas peut pour pourquoi puis quand que quel quelle quelles quels qui
        quoi sa sans se ses si son sont sur ta te tes toi ton tu un une vos votre vous y""",
    "spanish": """al algo como cómo con cual cuál cuales cuáles cuando cuándo de del desde donde dónde e el él ella ellos en es esa ese eso esta está
        están este esto fue ha han hay la las le les lo los me mi mis muy no nos o para pero por puede puedo que qué quien quién se sea ser
        si sí sin sobre son su sus también te tiene tu tus un una unas uno unos y ya yo""",
    "italian": """ai al alla alle allo anche che chi ci come con cosa cui da dai dal dalla dalle dei del della delle dello di dove e è ed gli ha
        hanno ho i il in io la le lei li lo loro lui ma mi mia mio ne nei nel nella nelle noi non o per perché più può qual quale quali
        quando quanto quello questa queste questi questo se sei si sia sono su sua sugli sul sulla suo ti tra tu tuo un una uno vi voi""",
    "portuguese": """a à ao aos as às até com como da das de do dos e é ela ele eles em era essa esse esta está este eu foi há isso já la lhe
        mais mas me meu minha muito na nas não no nos nós o onde os ou para pela pelas pelo pelos pode por porque posso qual quais quando
        que quem se sem ser seu seus são só sua suas também te tem um uma você""",
    "dutch": """aan al als bij dan dat de den der deze die dit door een en er ge had heb hebben heeft het hij hoe hun ik in is je jij jouw kan
        kun kunnen maar me men met mij mijn moet moeten na naar niet nog nu of om omdat onder ons onze ook op over te tot u uit uw van voor
        waar waarom wanneer was wat we welk welke wel werd wie wij wil worden wordt zal ze zich zij zijn zo zonder zou""",
    "danish": """af at alle blev blive da de dem den denne der deres det dette dig din du efter eller en er et for fra få få fået han har havde
        hende her hos hun hvad hvem hvilken hvis hvor hvordan hvorfor hvornår i ikke jeg kan kunne man med meget men mig min må ned nu når
        og også om op os på sig sin skal skulle som så til ud under var ved vi vil ville være været""",
    "norwegian": """alle at av ble blir bli da de dem den denne der deres det dette deg din du eller en er et etter for fra få fått han har
        hadde henne her hos hun hva hvem hvilken hvis hvor hvordan hvorfor i ikke jeg kan kunne man med meg men min må ned når nå og også
        om opp oss på seg sin skal skulle som så til ut under var ved vi vil ville være vært""",
    "swedish": """alla att av blev bli blir de dem den denna deras det detta dig din du då där efter eller en er ett för från få fått han har
        hade henne hon hos hur här i icke inte jag kan kunde man med men mig min måste ned nu när och också om oss på sig sin ska skall
        skulle som så till under upp ut vad var varför vem vi vid vilken vilka vill är vara varit""",
    "finnish": """ja tai mutta ei että he hän joka jos kuin kun me minä mitä mutta myös ne niin nyt oli on ovat se sen siitä siinä sinä sitä tämä
        tämän te vain vielä voi""",
    "russian": """и или но а без бы был была были было быть в во вы да для до его ее если есть еще же за и из или им их к как ко мы на не но о об он
        она они от по при с со так то у что это я""",
    "polish": """i a oraz lub ale albo bez być był była było by co czy dla do gdy go i ich jak jako jego jej jest już ma na nie o od po pod przez przy
        są się ta tak to tym w we z za ze że""",
    "czech": """a i nebo ale aby byl byla bylo být by co do ho i jak jako je jeho její jen jsem jsou k ke který která které na ne není o od po pro
        při s se si tak to ve v z za ze že""",
    "romanian": """și sau dar al ale a au acest această că ca care cu de din după este eu el ea fi fost în la le lui mai nu o pe pentru prin să se
        sunt un una unei unui""",
    "hungarian": """a az egy és vagy de hogy nem is ez azt ezt meg csak ha mint már még volt van vannak el ki kell lehet minden csak sem úgy""",
    "turkish": """ve veya ama bir bu şu o da de için ile gibi daha çok en ne mi mı mu mü olan olarak olduğu değil var yok her ki kadar sonra""",
    "indonesian": """yang dan di ke dari atau untuk dengan pada adalah ini itu dalam tidak akan oleh juga sebagai dapat ada bahwa karena saat telah
        lebih sudah bisa""",
}

STOPWORDS: dict[str, frozenset[str]] = {language: frozenset(words.split()) for language, words in _LISTS.items()}
