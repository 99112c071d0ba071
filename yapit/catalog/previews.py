"""Preview sentences: a short introduction of a voice by language. Pure."""

SENTENCES = {
    "de": "Guten Tag! So klinge ich, wenn ich Ihnen etwas vorlese.",
    "en": "Hello! This is how I sound when I read to you.",
    "es": "¡Hola! Así sueno cuando le leo en voz alta.",
    "fr": "Bonjour ! Voici comment je parle quand je vous fais la lecture.",
    "hi": "नमस्ते! जब मैं आपके लिए पढ़ता हूँ, तो मेरी आवाज़ ऐसी होती है।",
    "it": "Buongiorno! Ecco come suono quando leggo per lei.",
    "ja": "こんにちは。私が朗読すると、このような声になります。",
    "nl": "Hallo! Zo klink ik als ik u iets voorlees.",
    "pl": "Dzień dobry! Tak brzmię, kiedy dla państwa czytam.",
    "pt": "Olá! É assim que eu soo quando leio para você.",
    "zh": "你好！我为你朗读时，就是这样的声音。",
}
FALLBACK = "en"


def sentence(language: str) -> str:
    """`language` is a BCP 47 tag, such as pt-BR."""
    return SENTENCES.get(language.lower().replace("_", "-").partition("-")[0], SENTENCES[FALLBACK])
