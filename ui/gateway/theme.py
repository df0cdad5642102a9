"""How Gradio's own controls look: the same paper, ink and green as our style sheet, and no font from elsewhere."""

from __future__ import annotations

import gradio as gr

_GREEN = gr.themes.Color(
    c50="#eef6f2",
    c100="#e1efe8",
    c200="#c2ded1",
    c300="#95c5af",
    c400="#55b48f",
    c500="#2f8f6c",
    c600="#1f6f54",
    c700="#195b45",
    c800="#154838",
    c900="#10382c",
    c950="#0a241c",
)
_SANS = ("ui-sans-serif", "system-ui", "Liberation Sans", "sans-serif")
_MONO = ("ui-monospace", "Liberation Mono", "DejaVu Sans Mono", "monospace")

_SECONDARY = {
    "button_secondary_background_fill": "var(--dy-card)",
    "button_secondary_background_fill_dark": "var(--dy-card)",
    "button_secondary_background_fill_hover": "var(--dy-accent-soft)",
    "button_secondary_background_fill_hover_dark": "var(--dy-accent-soft)",
    "button_secondary_border_color": "var(--dy-line)",
    "button_secondary_border_color_dark": "var(--dy-line)",
    "button_secondary_text_color": "var(--dy-ink)",
    "button_secondary_text_color_dark": "var(--dy-ink)",
}
# Gradio's own greys are too light for their paper.
_SOFT = {
    f"{name}{theme}": "var(--dy-soft)"
    for name in ("block_info_text_color", "body_text_color_subdued", "input_placeholder_color")
    for theme in ("", "_dark")
}


def make_theme() -> gr.themes.Base:
    """Return the theme of all pages."""
    theme = gr.themes.Base(
        primary_hue=_GREEN, secondary_hue=_GREEN, neutral_hue="stone", font=_SANS, font_mono=_MONO, radius_size="md"
    )
    return theme.set(
        body_background_fill="var(--dy-paper)",
        body_background_fill_dark="var(--dy-paper)",
        body_text_color="var(--dy-ink)",
        body_text_color_dark="var(--dy-ink)",
        block_background_fill="var(--dy-card)",
        block_background_fill_dark="var(--dy-card)",
        block_border_color="var(--dy-line)",
        block_border_color_dark="var(--dy-line)",
        block_label_text_color="var(--dy-soft)",
        block_title_text_color="var(--dy-ink)",
        block_title_text_weight="600",
        block_title_text_size="13px",
        block_info_text_size="12px",
        input_background_fill="var(--dy-card)",
        input_background_fill_dark="var(--dy-paper)",
        input_border_color="var(--dy-line)",
        input_border_color_dark="var(--dy-line)",
        input_border_color_focus="var(--dy-accent)",
        input_shadow_focus="0 0 0 3px var(--dy-accent-soft)",
        button_primary_background_fill="#1f6f54",
        button_primary_background_fill_hover="#195b45",
        button_primary_background_fill_dark="#26795b",
        button_primary_background_fill_hover_dark="#1f6f54",
        button_primary_text_color="#ffffff",
        button_border_width="1px",
        **_SECONDARY,
        **_SOFT,
        button_large_text_weight="600",
        button_large_radius="10px",
        shadow_drop="none",
        block_shadow="none",
    )
