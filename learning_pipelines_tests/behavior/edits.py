"""Edits by hand: what was said, what it was corrected to, and what kind of change that is.

Belongs here: the table. Not here: what is expected of scores (test_significance.py).
"""

from __future__ import annotations

SAME = "same"
"""Typo, format or paraphrase: nothing of substance changed."""

EDITS: tuple[tuple[str, str, str], ...] = (
    ("Your refund takes five days to arrive.", "Your refund takes 5 days to arrive.", SAME),
    ("It costs 1,000 euros for each year of use.", "It costs 1000 EUR for each year of use!", SAME),
    ("The limit is 50 percent.", "The limit is 50 %.", SAME),
    ("Valid until 2 May 2018.", "Valid until May 2, 2018.", SAME),
    ("Valid until 2018-05-02, then it ends.", "Valid until 2 May 2018, then it ends.", SAME),
    ("We recieve your order and send it the same day.", "We receive your order and send it the same day.", SAME),
    ("Please acknowlege the delivery in the portal.", "Please acknowledge the delivery in the portal.", SAME),
    ("you can return it in the shop", "You can return it in the shop.", SAME),
    ("You can't return it after use.", "You cannot return it after use.", SAME),
    ("**Open** the settings and choose *Export*.", "Open the settings and choose Export.", SAME),
    ("- Open the settings\n- Choose Export", "Open the settings. Choose Export.", SAME),
    ("That is not possible with this card.", "That is impossible with this card.", SAME),
    ("It takes 24 hours to clear.", "It takes 1 day to clear.", SAME),
    ("You can get your money back within two weeks.", "You may receive a refund within 2 weeks.", SAME),
    ("Our shop opens at 3 pm on Saturday.", "Our shop opens at 15:00 on Saturday.", SAME),
    ("Ask ibm for the license key.", "Ask IBM for the license key.", SAME),
    ("The device weighs 1.5 kg.", "The device weighs 1500 g.", SAME),
    ("Das Paket kommt in drei Tagen an.", "Das Paket kommt in 3 Tagen an.", SAME),
    ("You can cancel the contract at any time.", "It is possible to cancel the contract at any time.", SAME),
    ("The color of the case is black.", "The colour of the case is black.", SAME),
    ("You may return it within 14 days of delivery.", "You may return it within 30 days of delivery.", "number"),
    ("The fee is 2.5 % of the amount.", "The fee is 25 % of the amount.", "number"),
    ("It costs $20 a month.", "It costs €20 a month.", "number"),
    ("The warranty lasts 2 months.", "The warranty lasts 2 years.", "number"),
    ("Support answers within 24 hours.", "Support answers within 48 hours.", "number"),
    ("The limit is 5 million euros.", "The limit is 5 thousand euros.", "number"),
    ("The counter opens at 3 pm.", "The counter opens at 3 am.", "number"),
    ("Die Frist beträgt zwei Wochen.", "Die Frist beträgt vier Wochen.", "number"),
    ("The offer ends on 31 March 2024.", "The offer ends on 30 April 2024.", "date"),
    ("Valid from 2024-01-01.", "Valid from 2025-01-01.", "date"),
    ("Der Vertrag endet am 3. Mai 2024.", "Der Vertrag endet am 3. Juni 2024.", "date"),
    ("Send the form to Acme in Berlin please.", "Send the form to Globex in Berlin please.", "entity"),
    ("Please write to <EMAIL_1> about this order.", "Please write to <EMAIL_2> about this order.", "entity"),
    ("Your ticket is INV-2034 in our system.", "Your ticket is INV-2035 in our system.", "entity"),
    ("The tax is due in Austria this year.", "The tax is due in Australia this year.", "entity"),
    ("The premium card is covered by the plan.", "The premium card is not covered by the plan.", "negation"),
    ("You can return opened software to us.", "You can't return opened software to us.", "negation"),
    ("Never unplug the device during the update.", "Always unplug the device during the update.", "negation"),
    ("Yes, you can send it back to us.", "No, you can send it back to us.", "negation"),
    ("Delivery is possible on Sundays in this city.", "Delivery is impossible on Sundays in this city.", "negation"),
    ("Die Lieferung ist im Preis enthalten.", "Die Lieferung ist nicht im Preis enthalten.", "negation"),
    ("Shipping is allowed before the payment.", "Shipping is forbidden before the payment.", "negation"),
    ("The price includes the tax on top.", "The price excludes the tax on top.", "negation"),
    ("Restart the router to get the connection back.", "Ask the bank for a new card and a new number.", "meaning"),
    ("You need to fill in the form at the town hall.", "The museum was founded by a painter.", "meaning"),
)
